// What the page shows, in the address after "#", so that it can be sent to a colleague. It holds
// nothing personal but the id that was typed in.

const KEYS = ["place", "id", "at", "tab"];

export const read = () => {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(KEYS.map((key) => [key, given.get(key) ?? ""]));
};

/** Write it; `step` makes an entry of its own in the browser's history. */
export const write = (shown, step) => {
  const said = new URLSearchParams();
  for (const key of KEYS) if (shown[key]) said.set(key, shown[key]);
  const address = `#${said.toString().replaceAll("%2F", "/")}`;
  if (address === (location.hash || "#")) return;
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
};
