// Which microphone this page uses: chosen under Setup, forgotten with the page.

let deviceId = "";

export const chosenMicrophone = {
  get id() {
    return deviceId;
  },

  set id(id) {
    deviceId = id;
  },

  /** For `openMicrophone`. */
  get constraints() {
    return deviceId === "" ? {} : { deviceId: { exact: deviceId } };
  },
};
