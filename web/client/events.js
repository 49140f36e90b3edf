// Events of the client's objects: a name and one value.

/** Dispatch a `CustomEvent` with `detail` on `target`. */
export function emit(target, name, detail) {
  target.dispatchEvent(new CustomEvent(name, { detail }));
}

/** An EventTarget whose listeners get the value itself. */
export class Emitter extends EventTarget {
  /**
   * Call `listener` with the value of each event `name`. One that throws is reported in the browser's
   * console and disturbs nothing else.
   * @param {string} name
   * @param {(value: any) => void} listener
   * @returns {() => void} ends it
   */
  on(name, listener) {
    const handle = ({ detail }) => listener(detail);
    this.addEventListener(name, handle);
    return () => this.removeEventListener(name, handle);
  }
}
