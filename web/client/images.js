// Pictures as events carry them: JPEG, in base64, in one message or in chunks.

import { ParleyError } from "./errors.js";

// What every model takes that sees.
const MAX_BYTES = 192 * 1024;
// Of base64 in one message, which has 60 KiB with everything around it.
const PIECE_CHARACTERS = 56 * 1024;
const SIDES_PX = [1024, 768, 512, 384, 256];
const QUALITY = 0.75;

function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

async function shrink({ source, width, height }, sidePx) {
  const scale = Math.min(1, sidePx / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

/**
 * The client events that show a picture, made small enough; to be sent one after the other.
 * @param {{source: CanvasImageSource, width: number, height: number}} drawable
 * @returns {Promise<object[]>} rejects with ParleyError `invalid_image`
 */
export async function drawnImageEvents(drawable) {
  for (const sidePx of SIDES_PX) {
    const blob = await shrink(drawable, sidePx);
    if (blob === null || blob.size > MAX_BYTES) continue;
    return eventsOf(toBase64(new Uint8Array(await blob.arrayBuffer())));
  }
  throw new ParleyError("invalid_image", "The picture cannot be made small enough to be sent.", { title: "Not sent" });
}

/**
 * The same of a picture in a file, of any kind that the browser can read.
 * @param {Blob} picture
 * @returns {Promise<object[]>} rejects with ParleyError `invalid_image`
 */
export async function imageEvents(picture) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture);
  } catch (cause) {
    throw new ParleyError("invalid_image", "The browser cannot read this as a picture.", { title: "Not sent", cause });
  }
  try {
    return await drawnImageEvents({ source: bitmap, width: bitmap.width, height: bitmap.height });
  } finally {
    bitmap.close();
  }
}

function eventsOf(image) {
  const format = { type: "image/jpeg" };
  if (image.length <= PIECE_CHARACTERS) return [{ type: "client_image_append", image, format }];
  const count = Math.ceil(image.length / PIECE_CHARACTERS);
  const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
  return Array.from({ length: count }, (_, index) => {
    const data = image.slice(index * PIECE_CHARACTERS, (index + 1) * PIECE_CHARACTERS);
    return { type: "client_image_chunk", id, index, count, data, format };
  });
}
