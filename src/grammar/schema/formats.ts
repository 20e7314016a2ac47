/** The values of `format` that are known, as regular expressions that whole strings match. */

const DATE = [
  String.raw`\d{4}-(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])`,
  String.raw`\d{4}-(0[469]|11)-(0[1-9]|[12]\d|30)`,
  String.raw`\d{4}-02-(0[1-9]|1\d|2[0-8])`,
  // Every fourth year is a leap year, of full centuries every fourth.
  String.raw`(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29`,
].join("|");
const TIME = String.raw`([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)`;
const BYTE = String.raw`(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const PIECE = "[0-9A-Fa-f]{1,4}";
const SEGMENT = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";

/** All of eight pieces, or `::` for one or more of them. */
const IPV6 = [
  `(${PIECE}:){7}${PIECE}`,
  `::(${PIECE}(:${PIECE}){0,6})?`,
  ...[1, 2, 3, 4, 5, 6].map((n) => `${PIECE}(:${PIECE}){${n - 1}}::(${PIECE}(:${PIECE}){0,${6 - n}})?`),
  `(${PIECE}:){7}:`,
].join("|");

export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  "date-time": `(${DATE})T${TIME}`,
  duration: String.raw`P(\d{1,9}W|(\d{1,9}Y(\d{1,9}M(\d{1,9}D)?)?|\d{1,9}M(\d{1,9}D)?|\d{1,9}D)(T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S))?|T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S))`,
  email: String.raw`[A-Za-z0-9_+-]{1,32}(\.[A-Za-z0-9_+-]{1,32})?@(${LABEL}\.){1,3}[A-Za-z]([A-Za-z0-9-]{0,22}[A-Za-z0-9])`,
  hostname: `(${LABEL})(\\.(${LABEL})){0,2}`,
  ipv4: `(${BYTE}\\.){3}${BYTE}`,
  ipv6: IPV6,
  uri: `[A-Za-z][A-Za-z0-9+.-]{0,20}://(${LABEL})(\\.(${LABEL})){0,3}(:[1-9]\\d{0,3})?(/${SEGMENT}*)*(\\?(${SEGMENT}|[/?])*)?(#(${SEGMENT}|[/?])*)?`,
  uuid: "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
};
