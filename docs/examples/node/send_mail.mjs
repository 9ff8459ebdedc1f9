// Sends mail through a mailstack stack, by Postal's HTTP API or by SMTP.
//
//   mailstack env --stack prod --credential shop --out app.env       # holds keys: keep it out of git
//   npm ci
//   node --env-file=app.env send_mail.mjs --via api  --to someone@example.org
//   node --env-file=app.env send_mail.mjs --via smtp --to someone@example.org
//
// Exit codes: 0 taken, 1 refused for good, 75 not taken until now, so try again later. Needs Node 20.6.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import nodemailer from "nodemailer";

const TIMEOUT_MS = 30_000;
const LONGEST_WAIT_MS = 900_000;
const TRY_LATER = 75; // EX_TEMPFAIL of sysexits.h
// The network's words for "nobody there now". Whatever else goes wrong with a connection, a certificate above all, is
// not mended by waiting.
const NOT_REACHED = new Set([
  "EAI_AGAIN", "ECONNECTION", "ECONNREFUSED", "ECONNRESET", "EDNS", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EPIPE",
  "ETIMEDOUT", "TimeoutError", "UND_ERR_BODY_TIMEOUT", "UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH", "UND_ERR_SOCKET",
]);
// Not now: request timeout, too many requests; besides these every 5xx.
const BUSY = new Set([408, 429]);

/** The answer stays the same however often one asks: a person has to look. */
export class Refused extends Error {}

/** Nobody took it this time; the same later may work. */
export class NotNow extends Error {
  /** @param {number} seconds how long to wait at least, where that was said */
  constructor(text, seconds = 0) {
    super(text);
    this.seconds = seconds;
  }
}

/**
 * POST to Postal's API and return `data`.
 *
 * Postal answers HTTP 200 to every known call, refusals included: only `status` in the body tells.
 */
async function call(path, body) {
  const { MAIL_API_URL, MAIL_API_KEY } = process.env;
  if (!MAIL_API_URL || !MAIL_API_KEY) {
    throw new Refused("MAIL_API_URL or MAIL_API_KEY is not set: this credential has no API key, or --via smtp is meant");
  }
  const url = `${MAIL_API_URL}/${path}`;
  let response, text;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Server-API-Key": MAIL_API_KEY },
      body: JSON.stringify(body),
      // fetch would take the key along, to whatever host a redirect leads to.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch (error) {
    const code = error.cause?.code ?? error.name;
    // Lost late it may have been taken: then the message comes twice.
    if (NOT_REACHED.has(code)) throw new NotNow(`${url}: ${error.cause?.message ?? error.message} (${code})`);
    // Without a cause it never came to a connection, and the text may hold the key.
    if (!error.cause) throw new Refused(`MAIL_API_URL or MAIL_API_KEY cannot be used (${code})`);
    throw new Refused(`${url}: ${error.cause.message} (${code})`);
  }
  if (BUSY.has(response.status) || response.status >= 500) {
    throw new NotNow(`HTTP ${response.status}`, Number(response.headers.get("Retry-After")) || 0);
  }
  if (response.status !== 200) throw new Refused(`HTTP ${response.status}: ${text.slice(0, 200)}`);
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = null;
  }
  if (!answer?.status) throw new Refused(`${url} does not answer like Postal: ${text.slice(0, 200)}`);
  if (answer.status === "success") return answer.data;
  throw new Refused(`${answer.data?.code ?? answer.status}: ${answer.data?.message ?? "no reason given"}`);
}

/**
 * Send a message by API; return what to say. `send/raw` keeps its Message-ID; `send/message` gives it another at every
 * try.
 */
async function sendByApi(message) {
  const writer = nodemailer.createTransport({ streamTransport: true, buffer: true, newline: "windows" });
  const written = await writer.sendMail(message);
  const body = { mail_from: message.from.address, rcpt_to: [message.to], data: written.message.toString("base64") };
  const data = await call("send/raw", body);
  return `message ${data.messages[message.to].id}: taken`;
}

/** Send a message by SMTP to the first host that takes it; return what to say. */
async function sendBySmtp(message) {
  const hosts = (process.env.SMTP_HOSTS || process.env.SMTP_HOST || "").split(",").filter(Boolean);
  const said = [];
  for (const host of hosts) {
    try {
      await handOver(host, message);
      return `accepted by ${host}`;
    } catch (error) {
      // A host that is being changed is away for a moment. All have the same rules, so a refusal is final.
      if (!(error instanceof NotNow)) throw error;
      said.push(`${host}: ${error.message}`);
    }
  }
  if (!hosts.length) throw new Refused("SMTP_HOST is not set: this credential has no SMTP key, or --via api is meant");
  throw new NotNow(said.join("; "));
}

async function handOver(host, message) {
  const { SMTP_PORT, SMTP_USE_TLS, SMTP_USE_SSL, SMTP_USER, SMTP_PASSWORD } = process.env;
  const transport = nodemailer.createTransport({
    host,
    port: Number(SMTP_PORT || "25"),
    secure: SMTP_USE_SSL === "true",
    // Postal takes a login in clear too. A client that insists on TLS is what protects the key.
    requireTLS: SMTP_USE_TLS === "true",
    ignoreTLS: SMTP_USE_TLS !== "true",
    auth: SMTP_USER && SMTP_PASSWORD ? { user: SMTP_USER, pass: SMTP_PASSWORD } : undefined,
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
  });
  try {
    await transport.sendMail(message);
  } catch (error) {
    const text = `${error.message} (${error.originalCode ?? error.code})`;
    // No TLS is no weather either: nodemailer asks for it whether it is offered or not.
    if (error.code === "ETLS") throw new Refused(text);
    if (error.responseCode) throw error.responseCode >= 400 && error.responseCode < 500 ? new NotNow(text) : new Refused(text);
    // Lost after the last dot it may have been taken: then the message comes twice.
    throw NOT_REACHED.has(error.originalCode ?? error.code) ? new NotNow(text) : new Refused(text);
  } finally {
    transport.close();
  }
}

/**
 * Try at most `tries` times with waits that double. The waits vary: many clients that failed together must not come back
 * together. In an application the message stays in a queue of its own between tries, and tries go on for hours.
 */
async function again(attempt, tries, firstWaitMs) {
  for (let number = 0; ; number += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof NotNow) || number + 1 >= tries) throw error;
      const own = Math.min(firstWaitMs * 2 ** number, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
      const wait = Math.max(own, Math.min(error.seconds * 1000, LONGEST_WAIT_MS));
      console.error(`not yet: ${error.message}; again in ${(wait / 1000).toFixed(1)} s`);
      await sleep(wait);
    }
  }
}

const { values: options } = parseArgs({
  options: {
    via: { type: "string", default: "api" },
    from: { type: "string" },
    to: { type: "string" },
    subject: { type: "string", default: "Hello from an application" },
    tries: { type: "string", default: "5" },
    "first-wait": { type: "string", default: "2" },
  },
});
if (!options.to || !["api", "smtp"].includes(options.via)) {
  console.error("usage: node send_mail.mjs --to ADDRESS [--via api|smtp] [--from ADDRESS] [--subject TEXT]");
  process.exit(2);
}
const address = options.from ?? process.env.SMTP_FROM_EMAIL;
if (!address) {
  console.error("--from ADDRESS is needed, or SMTP_FROM_EMAIL"); // without one it would be a bounce
  process.exit(2);
}
const name = options.from ? "" : (process.env.SMTP_FROM_NAME ?? "");
const message = {
  from: { name, address },
  to: options.to,
  subject: options.subject,
  text: "This message was sent by docs/examples/node/send_mail.mjs.\n",
  // The same for every try: receivers see by it that a second one is no second message.
  messageId: `<${randomUUID()}@${address.split("@").at(-1)}>`,
};
try {
  const send = options.via === "smtp" ? sendBySmtp : sendByApi;
  console.log(await again(() => send(message), Number(options.tries), Number(options["first-wait"]) * 1000));
} catch (error) {
  if (!(error instanceof Refused || error instanceof NotNow)) throw error;
  console.error(`${error instanceof Refused ? "refused" : "not taken"}: ${error.message}`);
  process.exitCode = error instanceof Refused ? 1 : TRY_LATER;
}
