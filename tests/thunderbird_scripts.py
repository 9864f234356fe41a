"""What is run inside Thunderbird: each script is the body of an asynchronous function, its arguments in `args`."""

from __future__ import annotations

# From then on scripts are files: N.js is run once it is there, its outcome is N.json
LISTEN = """
const sandbox = new Cu.Sandbox(Services.scriptSecurityManager.getSystemPrincipal(), { freshCompartment: true });
Object.assign(sandbox, { Services, Cc, Ci, Cu, ChromeUtils, IOUtils, folder: arguments[0] });
ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs").MailServices.sandboxOfTests = sandbox;
Cu.evalInSandbox(`
  const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
  let number = 1;
  const look = async () => {
    try {
      const base = folder + "/" + number;
      if (await IOUtils.exists(base + ".js")) {
        number++;
        const told = x => IOUtils.writeJSON(base + ".json", x, { tmpPath: base + ".part" });
        Cu.evalInSandbox(await IOUtils.readUTF8(base + ".js"), globalThis)
          .then(x => told({ value: x ?? null }), e => told({ error: String(e) + " " + (e.stack ?? "") }));
      }
    } catch (e) { Cu.reportError(e); }
    setTimeout(look, 15);
  };
  look();
`, sandbox);
"""
COMMON = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { MailUtils } = ChromeUtils.importESModule("resource:///modules/MailUtils.sys.mjs");
const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const account = MailServices.accounts.accounts.find(a => a.incomingServer.type == "imap");
const windows = () => [...Services.wm.getEnumerator(null)].filter(w => w.document.readyState == "complete");
const until = async (what, seconds = 50) => {
  for (const end = Date.now() + seconds * 1000; ;) {
    const found = await what();
    if (found) return found;
    if (Date.now() > end) throw new Error("not in time: " + what);
    await new Promise(r => setTimeout(r, 20));
  }
};
const inbox = () => account.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const unread = { why: "" };  // the inbox is not there yet, or its summary is being made
const messages = () => { try { return [...inbox().messages]; } catch (e) { unread.why = String(e); return []; } };
// Waits for what a request to the mail server does; its outcome is told to a listener
const done = start => new Promise(r => start({
  QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]), OnStartRunningUrl() {}, OnStopRunningUrl: (_, status) => r(status),
}));
// A request that is told its listener within some time; a folder that is busy refuses, and then tells nobody
const tried = async start => {
  try {
    return await Promise.race([done(start), new Promise(r => setTimeout(() => r("not told in time"), 5000))]);
  } catch (e) { return String(e); }
};
// Asks for mail until these messages are in the inbox
const arrived = async ids => {
  const outcomes = [];
  for (const end = Date.now() + 80000; Date.now() < end;) {
    const found = new Map(messages().map(m => [m.messageId, m]));
    if (ids.every(id => found.has(id))) return ids.map(id => found.get(id));
    const folder = inbox().QueryInterface(Ci.nsIMsgImapMailFolder);
    outcomes.push(await tried(told => folder.updateFolderWithListener(null, told)));
    await new Promise(r => setTimeout(r, 50));
  }
  throw new Error("no such message: " + ids + "; asked: " + outcomes.slice(-5) + "; " + unread.why);
};
"""
# What is open, for whoever has to understand a failure
WINDOWS = """
return [...Services.wm.getEnumerator(null)].map(
  w => [w.document.readyState, w.location.href, w.document.getElementById("infoBody")?.textContent ?? ""].join(" "));
"""
# Types the card's code whenever a window asks for it, as a person would; counts, and remembers what was asked
TYPE_THE_CODE = """
const watcher = { asked: [], observe(w, topic) {
  if (topic != "domwindowopened") return;
  w.addEventListener("load", () => {
    const box = w.document.getElementById("password1Textbox");
    if (!w.location.href.includes("commonDialog") || !box || box.closest("[hidden]")) return;
    w.byCode = true;
    watcher.asked.push(w.document.getElementById("infoBody").textContent);
    setTimeout(() => { box.value = args[0]; w.document.querySelector("dialog").acceptDialog(); }, 100);
  }, { once: true });
} };
Services.ww.registerNotification(watcher);
globalThis.codes = watcher;
"""
SIGN_IN = """
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init("imap://127.0.0.1", null, "imap://127.0.0.1", args[0], args[1], "", "");
await Services.logins.initializationPromise;
await Services.logins.addLoginAsync(login);
await until(() => windows().some(w => w.location.href.endsWith("messenger.xhtml")));
// Once, before any mail: while folders are discovered an inbox may be emptied again under the window that reads from it
// It is repeated until it ends well: a server that has just started may refuse the first
const outcome = { last: "not asked" };
const discover = told => MailServices.imap.discoverAllFolders(account.incomingServer.rootFolder, told, null);
const found = async () => (outcome.last = await tried(discover)) === 0 && inbox();
await until(found).catch(e => { throw new Error(e + "; " + outcome.last); });
"""
# What the header pane shows: the file of each mark that is visible, and the text of the body
READ = """
const [header] = await arrived([args[0]]);
const reader = () => windows().find(w => w.location.href.includes("messageWindow"));
reader()?.close();
await until(() => !reader());
MailUtils.openMessageInNewWindow(header);
const pane = await until(() => {
  const about = reader()?.document.getElementById("messageBrowser")?.contentDocument;
  return about?.readyState == "complete" && about.defaultView.gMessage?.messageId == args[0] ? about : null;
});
const mark = id => { const e = pane.getElementById(id); return e.hidden ? "" : e.getAttribute("src").split("/").pop(); };
const body = () => pane.getElementById("messagepane").contentDocument;
const shown = () => [mark("signedHdrIcon"), mark("encryptedHdrIcon"), body()?.body?.textContent ?? ""];
const [wanted, patience] = [args[1], args[2]];
// Decryption and verification end after the window is there. What it will not do must be awaited for some time:
// counted from the moment when the message is rendered, or when it says that it cannot be
const complete = () => shown()[0] != "" && (shown()[1] != "" || !wanted.encrypted) && shown()[2].includes(wanted.text);
await until(() => complete() || shown()[2].includes("Subject:") || shown()[1].includes("notok"));
await until(complete, patience).catch(() => {});
return shown();
"""
# The picker of the account's settings (End-To-End Encryption, Select), answered by its first choice
CHOOSE = """
const [key, usage, name] = args;
const identity = [...account.identities].find(i => i.key == key);
const offered = [];
(async () => {
  const w = await until(() => windows().find(w => w.location.href.includes("certpicker")));
  await until(() => w.document.querySelectorAll("menuitem").length);
  offered.push(...[...w.document.querySelectorAll("menuitem")].map(m => m.label));
  w.document.getElementById("nicknames").selectedIndex = offered.findIndex(l => l.includes(name));
  w.onCertSelected?.();
  w.document.querySelector("dialog").acceptDialog();
})();
const picker = Cc["@mozilla.org/user_cert_picker;1"].createInstance(Ci.nsIUserCertPicker);
const chosen = picker.pickByUsage(windows()[0], "", usage == "signing" ? 4 : 5, false, true, identity.email, {});
// What the settings page stores: without the key of the database the certificate "is not valid for this"
identity.setUnicharAttribute(usage + "_cert_name", chosen.displayName);
identity.setCharAttribute(usage + "_cert_dbkey", chosen.dbKey);
return { offered, chosen: chosen.displayName, address: chosen.emailAddress, token: chosen.tokenName };
"""
SEND = """
const [key, to, subject, text, files] = args;
const identity = [...account.identities].find(i => i.key == key);
const make = (name, type) => Cc["@mozilla.org/messengercompose/" + name + ";1"].createInstance(type);
const params = make("composeparams", Ci.nsIMsgComposeParams);
const fields = make("composefields", Ci.nsIMsgCompFields);
[fields.to, fields.subject, fields.body] = [to, subject, text];
for (const path of files) {
  const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
  file.initWithPath(path);
  const attachment = make("attachment", Ci.nsIMsgAttachment);
  [attachment.url, attachment.name] = [Services.io.newFileURI(file).spec, file.leafName];
  fields.addAttachment(attachment);
}
[params.type, params.format, params.identity, params.composeFields] =
  [Ci.nsIMsgCompType.New, Ci.nsIMsgCompFormat.PlainText, identity, fields];
MailServices.compose.OpenComposeWindowWithParams(null, params);
const w = await until(() => windows().find(w => w.location.href.includes("messengercompose.xhtml")));
await until(() => w.gMsgCompose && w.gSendSigned && w.gSendEncrypted);
await until(() => w.document.getElementById("attachmentBucket").itemCount == files.length);
await until(() => w.document.getElementById("toAddrContainer").querySelector("mail-address-pill"));
await until(() => !w.document.getElementById("button-send").disabled);
w.goDoCommand("cmd_sendNow");
// It closes once all is sent; a box that says why not is closed again, and the draft with it
const box = () => windows().find(w => w.location.href.includes("commonDialog") && !w.byCode);
await until(() => w.closed || box());
if (w.closed) return null;
const said = box().document.getElementById("infoBody").textContent;
box().document.querySelector("dialog").cancelDialog();
await until(() => !box());
w.gContentChanged = false;
w.close();
return said;
"""
