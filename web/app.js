// The page: moves between the start page and a call, and says what went wrong.

import { AgentExit } from "./agent_exit.js";
import * as api from "./api.js";
import { prepareKeyDialog, withKey } from "./api_key.js";
import { Call } from "./call.js";
import { CallView, describeConnection } from "./call_view.js";
import { Conversation } from "./conversation.js";
import { ConversationView } from "./conversation_view.js";
import { byId } from "./dom.js";
import { ownUid, remembered } from "./identity.js";
import { FormError, Lobby, isLive } from "./lobby.js";
import { MicrophoneError, openMicrophone } from "./microphone.js";
import { hideAllNotices, hideNotice, showNotice } from "./notices.js";

const LIST_EVERY_MS = 3000;

const LIMIT_WORDS = {
  idle: "Say something to go on.",
  max_duration: "It reaches its longest allowed time.",
  budget_spent: "Its budget is nearly spent.",
};

let call = null;
let conversation = new Conversation();
const agentExit = new AgentExit();

const lobby = new Lobby({ onJoin: () => join(), onStop: (channel) => stopFromList(channel) });
const transcript = new ConversationView({ onToolAnswer: answerTool, onToolVerdict: judgeTool });
const callView = new CallView({
  onMute: toggleMute,
  onLeave: leave,
  onStopAgent: stopAgent,
  onStartAgent: startAgentInCall,
  onNobodyToTalkTo: () => showNotSent("No agent can be reached at the moment."),
});

// -- joining ---------------------------------------------------------------------------------

async function join({ withMicrophone = true, withAgent = true } = {}) {
  if (call !== null) return;
  hideAllNotices();
  // Made inside the click, so that the browser lets it sound.
  const context = new AudioContext();
  let microphone = null;
  try {
    lobby.checkChannel();
    lobby.setBusy("Opening the microphone");
    if (withMicrophone) microphone = await openMicrophone();
    const timings = withAgent ? await ensureAgent() : null;
    lobby.setBusy("Joining");
    await enter(microphone, context);
    callView.showStartTimings(timings);
  } catch (error) {
    for (const track of microphone?.getTracks() ?? []) track.stop();
    if (context.state !== "closed") context.close(); // a call that was refused has closed it
    explainFailedJoin(error, { withMicrophone });
  } finally {
    lobby.setBusy(null);
  }
}

/** Start the channel's agent unless it runs already; its timings, or null when it ran. */
async function ensureAgent() {
  lobby.setBusy("Starting the agent");
  const options = lobby.startOptions();
  const agents = await withKey(api.listAgents);
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

async function enter(microphone, context) {
  const channel = lobby.channel;
  const uid = ownUid();
  remembered.set("channel", channel);
  remembered.set("name", lobby.name);
  const mintToken = () => withKey(() => api.mintToken(channel, uid));
  const joining = new Call({ channel, uid, name: lobby.name, microphone, context, mintToken });
  conversation = new Conversation();
  agentExit.forget();
  transcript.clear();
  listenTo(joining);
  call = joining;
  try {
    await joining.join();
  } catch (error) {
    call = null;
    joining.leave();
    throw error;
  }
  showCall();
}

function explainFailedJoin(error, { withMicrophone }) {
  const again = { label: "Try again", run: () => join({ withMicrophone }) };
  if (error instanceof MicrophoneError) {
    const withoutIt = { label: "Join without microphone", run: () => join({ withMicrophone: false }) };
    showNotice("join", { title: error.title, message: error.message, tone: "warn", actions: [again, withoutIt] });
  } else if (error instanceof FormError) {
    showNotice("join", { title: "One field needs a change", message: error.message, tone: "warn" });
  } else if (error instanceof api.ApiError) {
    explainApiError(error, again, { withMicrophone });
  } else {
    showNotice("join", { title: "The room did not take you in", message: error.message, tone: "error", actions: [again] });
  }
}

function explainApiError(error, again, { withMicrophone }) {
  const { message, details } = error;
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

function listenTo(joining) {
  const listen = (name, handle) =>
    joining.addEventListener(name, ({ detail }) => {
      if (call === joining) handle(detail);
    });
  listen("state", handleState);
  listen("members", handleMembers);
  listen("event", handleServerEvent);
  listen("chat", ({ from, text }) => addEntry({ kind: "chat", from, text }));
  listen("left", handleLeft);
  listen("lost", handleLost);
  listen("regained", () => hideNotice("server"));
  listen("refused", handleRefused);
  listen("peer_refused", ({ member, message }) => {
    const title = `${member?.name || "A member"} makes no connection with this page`;
    showNotice("peer", { title, message, tone: "warn" });
  });
  listen("peer_open", () => hideNotice("peer"));
  listen("sound_blocked", () => {
    const play = { label: "Play sound", run: () => call?.playSound() };
    showNotice("sound", { title: "Your browser holds the sound back", tone: "warn", actions: [play] });
  });
}

function handleMembers() {
  callView.refresh();
  if (call.agents.length > 0) {
    hideNotice("agent");
    agentExit.handleBack();
  }
  const isAlone = call.members.length === call.agents.length;
  conversation.userLabel = isAlone ? "You" : "Someone here";
}

function handleServerEvent(event) {
  if (event.type === "agent_ended") agentExit.handleEnded(event.reason);
  callView.handleEvent(event);
  const changes = conversation.apply(event);
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
  const asked = conversation;
  setTimeout(() => {
    const waiting = entries.filter(({ state }) => state === "asking");
    if (asked === conversation) for (const entry of waiting) transcript.apply(conversation.settle(entry, false));
  }, timeoutMs);
}

function handleLeft({ member, reason }) {
  if (member.role !== "agent") {
    addEntry({ kind: "note", text: `${member.name || `Guest ${member.uid}`} left` });
    return;
  }
  const { isSudden, why } = agentExit.handleLeft(reason);
  const note = addEntry({ kind: "note", text: `The agent left. ${why}`.trim() });
  callView.showStartTimings(null);
  if (call.agents.length > 0) return;
  if (isSudden) awaitReturn(note, why);
  else showNoAgent("The agent has left", why);
}

function awaitReturn(note, why) {
  const text = "The agent was lost, and is back with the conversation.";
  agentExit.awaitReturn({
    onGone: () => showNoAgent("The agent has left", why),
    onBack: () => transcript.apply({ changed: [Object.assign(note, { text })], removed: [] }),
  });
}

function showNoAgent(title, message) {
  showNotice("agent", { title, message, tone: "info", actions: [{ label: "Start an agent", run: startAgentInCall }] });
}

function handleState() {
  refreshStatus();
  if (call.isLost && call.agentLink === "broken") handleLost();
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

function handleRefused(error) {
  const title = error.code === "replaced" ? "This call goes on in another tab" : "The room closed your place";
  leave();
  showNotice("join", { title, message: error.message, tone: "warn", actions: [{ label: "Join here again", run: () => join() }] });
}

function addEntry(fields) {
  const entry = conversation.add(fields);
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
  transcript.apply(conversation.settle(entry, verdict.approve));
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
  call.setMuted(!call.isMuted);
  callView.refresh();
}

async function stopAgent() {
  await stopChannel(call.channel, byId("stop-agent"));
}

async function startAgentInCall() {
  const button = byId("start-agent");
  button.disabled = true;
  agentExit.forget();
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
  if (call === null) return;
  const left = call;
  call = null;
  agentExit.forget();
  left.leave();
  callView.close();
  hideAllNotices();
  showLobby();
}

// -- moving between the two ------------------------------------------------------------------

function showCall() {
  history.replaceState(null, "", `#${new URLSearchParams({ channel: call.channel })}`);
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
  if (call !== null || document.hidden) return;
  try {
    lobby.showAgents(await api.listAgents());
    hideNotice("list");
  } catch (error) {
    clearInterval(error.isKeyProblem ? listTimer : undefined);
    lobby.showAgentsProblem(error.isKeyProblem ? "Shown once you have given an API key." : "The server cannot be reached.");
  }
}

// -- start -----------------------------------------------------------------------------------

prepareKeyDialog();
byId("composer").addEventListener("submit", send);
addEventListener("pagehide", leave);
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, textarea, select");
  if (event.key === "m" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) toggleMute();
});
const listTimer = setInterval(refreshAgents, LIST_EVERY_MS);
showPart("lobby");
refreshAgents();
