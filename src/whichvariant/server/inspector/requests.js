// What is asked of the server: the inspector's data, and the API itself.

const KEY = "whichvariant-inspector-token";
let token = null;
try {
  token = sessionStorage.getItem(KEY);
} catch {
  // Without storage the token is asked for on every visit.
}

/** An answer that is no success. `status` is 0 if there was none. */
export class Failure extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const hasToken = () => token !== null;

/** Keep the token for this tab, or forget it. */
export const setToken = (value) => {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // It is kept in this page alone, then.
  }
};

const ask = async (path, body, headers) => {
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? headers
        : { ...headers, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch {
    throw new Failure(0, "", "The server does not answer.");
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Failure(response.status, "", `The server answered ${response.status} and no JSON.`);
  }
  if (!response.ok) {
    const code = (answer.error && answer.error.code) || "";
    throw new Failure(response.status, code, String(answer.message || response.status));
  }
  return answer.data;
};

/** The inspector's own data; needs the admin token where the server has one. */
export const data = (path, body) => ask(
  `inspector/data/${path}`, body, token === null ? {} : { authorization: `Bearer ${token}` },
);

/** Events to the Experience API, as any client sends them. */
export const send = ({ organization, environment }, id, events, preflight) => {
  const parts = [organization, "environments", environment, "profiles", ...(id ? [id] : [])];
  const path = `v2/organizations/${parts.map(encodeURIComponent).join("/")}`;
  return ask(preflight ? `${path}?type=preflight` : path, { events }, {});
};
