// What can go wrong: a `code` for programs, `title` and `message` for people.

/** Every failure of the client is one of these. */
export class ParleyError extends Error {
  /**
   * @param {string} code one of docs/web.md
   * @param {string} message what to do about it
   * @param {{title?: string, cause?: unknown}} more
   */
  constructor(code, message, { title = "The call cannot begin", cause } = {}) {
    super(message, { cause });
    this.name = new.target.name;
    this.code = code;
    this.title = title;
  }
}

/** `join` was called with something that it cannot use; nothing has been asked of anything. */
export class OptionError extends ParleyError {
  constructor(message) {
    super("invalid_option", message, { title: "The call is set up wrongly" });
  }
}

/** No microphone: `no_microphone`, `microphone_denied`, `microphone_busy`, `insecure_page`, `microphone_failed`. */
export class MicrophoneError extends ParleyError {}

/** The room, or the agent, will not have us; trying again would not help. */
export class RefusedError extends ParleyError {
  constructor(code, message, title = "The room did not take you in") {
    super(code, message, { title });
  }
}

/** The control API refused, or could not be reached (`code` "unreachable", `status` 0). */
export class ApiError extends ParleyError {
  constructor(status, code, message, details = []) {
    super(code, message, { title: status === 0 ? "No connection to the server" : "The server refused" });
    this.status = status;
    this.details = details;
  }

  get isKeyProblem() {
    return this.status === 401;
  }
}
