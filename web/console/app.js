// The page: moves between the start page and a call, and says what went wrong.

import { ControlApi } from "../client/api.js";
import { ApiError, HOME, MicrophoneError, join as joinCall, openMicrophone } from "../parley.js";
import { prepareKeyDialog, withKey } from "./api_key.js";
import { CallView, describeConnection } from "./call_view.js";
import { ConversationView } from "./conversation_view.js";
import { byId } from "./dom.js";
import { forgetUid, ownUid, remembered } from "./identity.js";
import { FormError, Lobby, isLive } from "./lobby.js";
import { chosenMicrophone } from "./microphone_choice.js";
import { Navigation } from "./navigation.js";
import { hideAllNotices, hideNotice, showNotice } from "./notices.js";

const LIST_EVERY_MS = 3000;
const OPTIONS_EVERY_MS = 60_000;

const LIMIT_WORDS = {
  idle: "Say something to go on.",
  max_duration: "It reaches its longest allowed time.",
  budget_spent: "Its budget is nearly spent.",
};

const api = new ControlApi(HOME, () => remembered.get("apiKey"));
let call = null;
let isJoining = false;
let shownProblems = "[]"; // of the app
let optionsReadAt = -OPTIONS_EVERY_MS;
let agentNote = null; // the last one that an agent left

const lobby = new Lobby({ onJoin: () => join(), onStop: (channel) => stopFromList(channel) });
const transcript = new ConversationView({ onToolAnswer: answerTool, onToolVerdict: judgeTool });
const callView = new CallView({
  onMute: toggleMute,
  onLeave: leave,
  onStopAgent: stopAgent,
  onStartAgent: startAgentInCall,
  onShare: toggleShare,
  onNobodyToTalkTo: () => showNotSent("No agent can be reached at the moment."),
});

// -- joining ---------------------------------------------------------------------------------

async function join({ withMicrophone = true, withAgent = true } = {}) {
  if (call !== null || isJoining) return;
  isJoining = true;
  hideAllNotices();
  // Made inside the click, so that the browser lets it sound.
  const context = new AudioContext();
  let microphone = null;
  try {
    lobby.checkChannel();
    lobby.setBusy("Opening the microphone");
    if (withMicrophone) microphone = await openMicrophone(chosenMicrophone.constraints);
    const timings = withAgent ? await ensureAgent() : null;
    lobby.setBusy("Joining");
    await enter(microphone, context);
    callView.showStartTimings(timings);
  } catch (error) {
    for (const track of microphone?.getTracks() ?? []) track.stop();
    if (context.state !== "closed") context.close(); // a call that was refused has closed it
    explainFailedJoin(error, { withMicrophone });
  } finally {
    isJoining = false;
    lobby.setBusy(null);
  }
}

/** Start the channel's agent unless it runs already; its timings, or null when it ran. */
async function ensureAgent() {
  lobby.setBusy("Starting the agent");
  const options = lobby.startOptions();
  const agents = await withKey(() => api.listAgents());
  if (agents.some((agent) => agent.channel_name === options.channel_name && isLive(agent))) return null;
  return startAgent(options);
}

async function startAgent(options) {
  try {
    return (await withKey(() => api.startAgent(options))).timings_ms ?? null;
  } catch (error) {
    if (error.code === "already_running") return null; // somebody was faster: all the better
    throw error;
  }
}

async function enter(microphone, audioContext) {
  const { channel, name } = lobby;
  const uid = ownUid();
  remembered.set("channel", channel);
  remembered.set("name", name);
  const token = () => withKey(() => api.mintToken(channel, uid));
  try {
    call = await joinCall({ server: HOME, channel, uid, name, token, microphone, audioContext });
  } catch (error) {
    if (error.code === "uid_taken") forgetUid();
    throw error;
  }
  agentNote = null;
  transcript.clear();
  listenTo(call);
  showCall();
}

function explainFailedJoin(error, { withMicrophone }) {
  const again = { label: "Try again", run: () => join({ withMicrophone }) };
  if (error instanceof MicrophoneError) {
    const withoutIt = { label: "Join without microphone", run: () => join({ withMicrophone: false }) };
    showNotice("join", { title: error.title, message: error.message, tone: "warn", actions: [again, withoutIt] });
  } else if (error instanceof FormError) {
    lobby.point(error.field);
    showNotice("join", { title: "One field needs a change", message: error.message, tone: "warn" });
  } else if (error instanceof ApiError) {
    explainApiError(error, again, { withMicrophone });
  } else {
    showNotice("join", { title: error.title ?? "The call cannot begin", message: error.message, tone: "error", actions: [again] });
  }
}

// "Invalid request data: interrupt.min_words: ..." is about the field interrupt.
function fieldOf(message) {
  return /^Invalid request data: (\w+)/.exec(message)?.[1] ?? "";
}

function explainApiError(error, again, { withMicrophone }) {
  const { message, details } = error;
  if (error.code === "invalid_request") lobby.point(fieldOf(message));
  if (error.code === "unreachable") {
    showNotice("join", { title: "No connection to the server", message, tone: "error", actions: [again] });
  } else if (error.isKeyProblem) {
    const withKeyNow = { ...again, label: "Enter a key" };
    const text = "This server only lets in who has one of its keys.";
    showNotice("join", { title: "An API key is needed", message: text, tone: "warn", actions: [withKeyNow] });
  } else {
    const without = { label: "Join without agent", run: () => join({ withMicrophone, withAgent: false }) };
    showNotice("join", { title: "The agent did not start", message, details, tone: "error", actions: [again, without] });
  }
}

// -- in a call -------------------------------------------------------------------------------

function listenTo(joined) {
  joined.on("connection", handleConnection);
  joined.on("members", handleMembers);
  joined.on("changes", handleChanges);
  joined.on("sharing", () => callView.refresh());
  joined.on("chat", ({ from, text }) => addEntry({ kind: "chat", from, text }));
  joined.on("left", handleLeft);
  joined.on("agent_gone", ({ message }) => showNoAgent("The agent has left", message));
  joined.on("agent_back", handleAgentBack);
  joined.on("lost", handleLost);
  joined.on("regained", () => hideNotice("server"));
  joined.on("ended", handleEnded);
  joined.on("problem", handleProblem);
  joined.on("peer_open", () => hideNotice("peer"));
}

function handleProblem({ code, title, message }) {
  if (code === "peer_refused") showNotice("peer", { title, message, tone: "warn" });
  if (code !== "sound_blocked") return; // the transcript has the agent's own
  const play = { label: "Play sound", run: () => call?.playSound() };
  showNotice("sound", { title, tone: "warn", actions: [play] });
}

function handleMembers() {
  callView.refresh();
  if (call.agents.length > 0) hideNotice("agent");
}

function handleChanges({ event, ...changes }) {
  callView.handleEvent(event);
  transcript.apply(changes);
  if (event.type === "agent_ready") showHowToTalk();
  if (event.type === "agent_limit_near") warnOfLimit(event);
  if (event.type === "agent_input_started") hideNotice("limit_idle");
  if (event.type === "agent_tool_approval_required") giveUpLater(changes.changed, event.timeout_ms);
}

function warnOfLimit({ reason, ends_in_ms: endsInMs }) {
  const when = endsInMs === null ? "soon" : `in ${Math.round(endsInMs / 1000)} s`;
  const message = LIMIT_WORDS[reason] ?? "";
  showNotice(`limit_${reason}`, { title: `The call ends ${when}`, message, tone: "warn" });
}

// The agent takes silence for a no.
function giveUpLater(entries, timeoutMs) {
  const asked = call;
  setTimeout(() => {
    const waiting = entries.filter(({ state }) => state === "asking");
    if (asked === call) for (const entry of waiting) transcript.apply(call.conversation.settle(entry, false));
  }, timeoutMs);
}

function handleLeft({ member, message }) {
  if (member.role !== "agent") {
    addEntry({ kind: "note", text: `${member.name || `Guest ${member.uid}`} left` });
    return;
  }
  agentNote = addEntry({ kind: "note", text: `The agent left. ${message}`.trim() });
  callView.showStartTimings(null);
}

function handleAgentBack() {
  const text = "The agent was lost, and is back with the conversation.";
  transcript.apply({ changed: [Object.assign(agentNote, { text })], removed: [] });
}

function showNoAgent(title, message) {
  showNotice("agent", { title, message, tone: "info", actions: [{ label: "Start an agent", run: startAgentInCall }] });
}

function handleConnection() {
  refreshStatus();
  if (call?.isLost && call.agentLink === "broken") handleLost();
}

function handleLost() {
  refreshStatus();
  const isAgentLost = call.agentLink === "broken";
  showNotice("server", {
    title: isAgentLost ? "Server and agent are lost" : "Connection to the server lost",
    message: isAgentLost
      ? "This page keeps trying to reach them. You can leave, or wait for them to come back."
      : "You can go on talking: the sound does not pass through the server. This page keeps trying to reach it.",
    tone: "warn",
  });
}

function handleEnded({ error }) {
  call = null;
  callView.close();
  hideAllNotices();
  showLobby();
  if (error === null) return;
  const title = error.code === "replaced" ? "This call goes on in another tab" : "The room closed your place";
  showNotice("join", { title, message: error.message, tone: "warn", actions: [{ label: "Join here again", run: () => join() }] });
}

function addEntry(fields) {
  const entry = call.conversation.add(fields);
  transcript.apply({ changed: [entry], removed: [] });
  return entry;
}

function answerTool(entry, text) {
  if (!call?.answerTool(entry.key.slice("tool ".length), entry.name, text)) return false;
  entry.state = "calling";
  transcript.apply({ changed: [entry], removed: [] });
  return true;
}

function judgeTool(entry, verdict) {
  if (!call?.approveTool(entry.key.slice("tool ".length), verdict)) return false;
  transcript.apply(call.conversation.settle(entry, verdict.approve));
  return true;
}

function send(event) {
  event.preventDefault();
  const field = byId("message");
  const text = field.value.trim();
  if (text === "" || call === null) return;
  const isForRoom = byId("recipient").value === "room";
  const isSent = isForRoom ? call.sendChat(text) : call.sendText(text);
  if (!isSent) {
    const message = isForRoom ? "The server is lost at the moment." : "No agent can be reached at the moment.";
    showNotSent(message);
    return;
  }
  hideNotice("send");
  field.value = "";
  if (isForRoom) addEntry({ kind: "chat", from: "You", isOwn: true, text });
}

function showNotSent(message) {
  showNotice("send", { title: "Not sent", message, tone: "warn" });
}

function toggleMute() {
  if (!call?.hasMicrophone || call.hasManualTurns) return;
  call.mute(!call.isMuted);
  callView.refresh();
}

async function toggleShare(source) {
  hideNotice("share");
  const asked = call;
  if (asked.sharing === source) {
    asked.stopSharing();
    return;
  }
  try {
    await asked.share(source);
  } catch ({ code, title, message }) {
    // Whoever closes the browser's question needs no word about it.
    if (code !== "screen_denied") showNotice("share", { title, message, tone: "warn" });
  }
}

async function stopAgent() {
  await stopChannel(call.channel, byId("stop-agent"));
}

async function startAgentInCall() {
  const button = byId("start-agent");
  button.disabled = true;
  hideNotice("agent");
  try {
    callView.showStartTimings(await startAgent({ ...lobby.startOptions(), channel_name: call.channel }));
  } catch (error) {
    const { message, details = [] } = error;
    const again = { label: "Try again", run: startAgentInCall };
    showNotice("agent", { title: "The agent did not start", message, details, tone: "error", actions: [again] });
  } finally {
    button.disabled = false;
  }
}

async function stopChannel(channel, button = null) {
  if (button !== null) button.disabled = true;
  try {
    await withKey(() => api.stopAgent(channel));
  } catch ({ status, message, details = [] }) {
    // 404: somebody else has stopped it, which is what we wanted.
    if (status !== 404) showNotice("stop", { title: "The agent did not stop", message, details, tone: "error" });
  } finally {
    if (button !== null) button.disabled = false;
  }
}

function leave() {
  call?.leave();
}

// -- moving between the two ------------------------------------------------------------------

function showCall() {
  if (isTalkShown()) showAddressOfCall();
  byId("call-channel").textContent = call.channel;
  showPart("call");
  callView.open(call);
  refreshStatus();
  showHowToTalk();
  byId("main").focus({ preventScroll: true });
  if (call.agents.length === 0) showNoAgent("No agent in this channel", "Start one to talk to it.");
}

function showHowToTalk() {
  const isPushed = call.hasManualTurns && call.hasMicrophone;
  const title = isPushed ? "Hold the button and speak" : "Say something";
  byId("empty-title").textContent = call.hasMicrophone ? title : "Type something";
  byId("empty-hint").textContent = isPushed
    ? "Or hold the space bar. The agent answers when you let go."
    : "What you say and what the agent answers appears here. You can speak over it at any time.";
}

function showLobby() {
  showPart("lobby");
  refreshStatus();
  byId("join").focus({ preventScroll: true });
  refreshAgents();
}

function showAddressOfCall() {
  history.replaceState(null, "", `#${new URLSearchParams({ channel: call.channel })}`);
}

function isTalkShown() {
  return !byId("talk-screen").hidden;
}

/** The address names this screen: of the call that goes on, or of a channel to join. */
function showTalk(query) {
  if (call !== null) showAddressOfCall();
  else lobby.choose(query);
  refreshAgents();
}

function showPart(part) {
  document.body.dataset.part = part;
  byId("lobby").hidden = part !== "lobby";
  byId("call").hidden = part !== "call";
  byId("call-title").hidden = part !== "call";
}

function refreshStatus() {
  const [tone, text] = describeConnection(call);
  byId("status").dataset.tone = tone;
  // Said by screen readers when it changes, so it is only set when it does.
  if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
  callView.refresh();
}

async function stopFromList(channel) {
  await stopChannel(channel);
  await refreshAgents();
}

async function refreshAgents() {
  if (call !== null || document.hidden || !isTalkShown()) return;
  try {
    lobby.showAgents(await api.listAgents());
    showDefinitions(await api.listDefinitions());
    await showOptions();
    lobby.showLocalModel(await api.showLocalModel());
  } catch (error) {
    clearInterval(error.isKeyProblem ? listTimer : undefined);
    lobby.showAgentsProblem(error.isKeyProblem ? "Shown once you have given an API key." : "The server cannot be reached.");
  }
}

// They change when the server is started anew, or the app is loaded again.
async function showOptions() {
  if (performance.now() - optionsReadAt < OPTIONS_EVERY_MS) return;
  lobby.showOptions(await api.request("GET", "options"));
  optionsReadAt = performance.now();
}

// Of an app that cannot be loaded the last good version goes on.
function showDefinitions({ app, agents, problems }) {
  lobby.showDefinitions(agents);
  const details = problems.map(({ text, file, line }) => (file === "" ? text : `${file}:${line}: ${text}`));
  const told = JSON.stringify(details);
  if (told === shownProblems) return;
  shownProblems = told;
  hideNotice("app");
  const message = agents.length > 0 ? "Its last good version goes on." : "None of its agents can start.";
  if (details.length > 0) showNotice("app", { title: `${app} cannot be loaded`, message, details, tone: "error" });
}

// -- start -----------------------------------------------------------------------------------

prepareKeyDialog();
byId("composer").addEventListener("submit", send);
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, textarea, select");
  if (event.key === "m" && isTalkShown() && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) toggleMute();
});
const listTimer = setInterval(refreshAgents, LIST_EVERY_MS);
showPart("lobby");
new Navigation({ api, onTalk: showTalk }).start();
