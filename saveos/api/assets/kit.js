// The recovery code, in the browser: made, recognised, sealed. The appliance never sees it.
// HPKE is RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const GROUP = 7;
const GROUPS = 8;
const ROUNDS = 600_000;
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20); // the key follows

const subtle = globalThis.crypto?.subtle;
const utf8 = (text) => new TextEncoder().encode(text);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

/** Whether this browser can make and seal a recovery code. */
export async function isAble() {
  try {
    await subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
    return true;
  } catch {
    return false;
  }
}

/** A new recovery key: { code, kit }; the kit is what the appliance may know. */
export async function makeKit() {
  const pair = await subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
  const raw = new Uint8Array(await subtle.exportKey("pkcs8", pair.privateKey)).slice(-32);
  const text = toBase32(join(raw, await checksum(raw)));
  const groups = text.match(new RegExp(`.{${GROUP}}`, "g"));
  const publicKey = toBase64(new Uint8Array(await subtle.exportKey("raw", pair.publicKey)));
  return { code: groups.join("-"), kit: { recovery_public_key: publicKey, check: await checkOf(groups) } };
}

/** The code as it is written down. Throws when its check characters do not fit. */
export async function readCode(typed) {
  const text = typed.replace(/[\s-]/g, "").toUpperCase();
  const bytes = fromBase32(text);
  if (bytes.length !== 35) throw new Error("mistyped");
  const sum = await checksum(bytes.slice(0, 32));
  if (!sum.every((byte, index) => byte === bytes[32 + index])) throw new Error("mistyped");
  return text.match(new RegExp(`.{${GROUP}}`, "g")).join("-");
}

/** What proves that somebody has the code, without telling it: two groups of it, stretched. */
export async function proofOf(groups, salt) {
  const key = await subtle.importKey("raw", utf8(groups.map(cleaned).join("-")), "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: fromBase64(salt), iterations: ROUNDS };
  return toBase64(new Uint8Array(await subtle.deriveBits(how, key, 256)));
}

/** A text, sealed to a public key (base64, as the answer is). */
export async function seal(publicKey, info, text) {
  const theirs = fromBase64(publicKey);
  const pair = await subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
  const encapsulated = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  const imported = await subtle.importKey("raw", theirs, { name: "X25519" }, false, []);
  const agreed = new Uint8Array(await subtle.deriveBits({ name: "X25519", public: imported }, pair.privateKey, 256));
  const kem = join(utf8("KEM"), [0, 0x20]);
  const secret = await extract(kem, [], "eae_prk", agreed);
  const shared = await expand(kem, secret, "shared_secret", join(encapsulated, theirs), 32);
  const suite = join(utf8("HPKE"), [0, 0x20, 0, 1, 0, 2]);
  const context = join(
    [0], await extract(suite, [], "psk_id_hash", []), await extract(suite, [], "info_hash", utf8(info)),
  );
  const scheduled = await extract(suite, shared, "secret", []);
  const key = await subtle.importKey("raw", await expand(suite, scheduled, "key", context, 32), "AES-GCM", false, ["encrypt"]);
  const iv = await expand(suite, scheduled, "base_nonce", context, 12);
  const sealed = new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, key, utf8(text)));
  return toBase64(join(encapsulated, sealed));
}

/** The public key (base64) of a code that `readCode` returned. */
export async function publicKeyOf(code) {
  const raw = fromBase32(code.replaceAll("-", "")).slice(0, 32);
  const key = await subtle.importKey("pkcs8", join(PKCS8, raw), { name: "X25519" }, true, ["deriveBits"]);
  const { x } = await subtle.exportKey("jwk", key);
  return x.replaceAll("-", "+").replaceAll("_", "/") + "=";
}

async function checkOf(groups) {
  const first = crypto.getRandomValues(new Uint8Array(1))[0] % GROUPS;
  const second = (first + 1 + (crypto.getRandomValues(new Uint8Array(1))[0] % (GROUPS - 1))) % GROUPS;
  const chosen = [first, second].sort();
  const salt = toBase64(crypto.getRandomValues(new Uint8Array(16)));
  const proof = fromBase64(await proofOf(chosen.map((index) => groups[index]), salt));
  return { groups: chosen.map((index) => index + 1), salt, proof_hash: toBase64(await sha256(proof)) };
}

async function checksum(raw) {
  return (await sha256(join(utf8("saveos recovery code"), raw))).slice(0, 3);
}

async function hmac(key, message) {
  const imported = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, message));
}

// An empty salt is as many zeros as the hash is long: RFC 5869 § 2.2.
function extract(suite, salt, label, material) {
  return hmac(salt.length ? salt : new Uint8Array(32), join(utf8("HPKE-v1"), suite, utf8(label), material));
}

async function expand(suite, key, label, info, length) {
  return (await hmac(key, join([0, length], utf8("HPKE-v1"), suite, utf8(label), info, [1]))).slice(0, length);
}

function cleaned(group) {
  return group.replace(/[\s-]/g, "").toUpperCase();
}

function toBase32(bytes) {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return bits.match(/.{5}/g).map((five) => ALPHABET[parseInt(five, 2)]).join("");
}

function fromBase32(text) {
  if (/[^A-Z2-7]/.test(text)) throw new Error("mistyped");
  const bits = [...text].map((letter) => ALPHABET.indexOf(letter).toString(2).padStart(5, "0")).join("");
  return Uint8Array.from((bits.match(/.{8}/g) ?? []).map((eight) => parseInt(eight, 2)));
}
