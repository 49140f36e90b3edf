// What this tab remembers between reloads. Session storage only: nothing outlives the tab.

const WORDS = {
  first: ["amber", "brisk", "calm", "clear", "early", "gentle", "keen", "mild", "quiet", "silver"],
  second: ["anchor", "brook", "cedar", "harbor", "lantern", "meadow", "orchard", "ridge", "river", "willow"],
};

function randomBelow(limit) {
  return crypto.getRandomValues(new Uint32Array(1))[0] % limit;
}

function pick(words) {
  return words[randomBelow(words.length)];
}

/** A channel name that people can read to one another. */
export function suggestChannel() {
  return `${pick(WORDS.first)}-${pick(WORDS.second)}-${10 + randomBelow(90)}`;
}

/** This tab's participant uid, the same after a reload, so that the conversation goes on. */
export function ownUid() {
  const kept = Number(sessionStorage.getItem("parley.uid"));
  if (Number.isInteger(kept) && kept > 0) return kept;
  const made = 100_000 + randomBelow(4_000_000_000);
  sessionStorage.setItem("parley.uid", String(made));
  return made;
}

/** Become somebody else at the next join: our uid is another one's by now. */
export function forgetUid() {
  sessionStorage.removeItem("parley.uid");
}

/** A small remembered text: `apiKey`, `channel` or `name`. */
export const remembered = {
  get: (key) => sessionStorage.getItem(`parley.${key}`) ?? "",
  set: (key, value) => sessionStorage.setItem(`parley.${key}`, value),
};
