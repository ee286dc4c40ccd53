// An OAuth 2.0 authorization server with dynamic client registration (RFC 7591, RFC 7592) on 127.0.0.1. Registration
// access tokens are replaced with every update, which is the library's default and the harder case.
// Usage: OAUTH_INITIAL_ACCESS_TOKEN=... node server.mjs PORT
import { Provider } from "oidc-provider";

const port = Number(process.argv[2]);
const scopes = Array.from({ length: 200 }, (_, i) => `test:${String(i).padStart(3, "0")}#read`);

// Memory keeps everything. The library's own development adapter forgets the oldest of a thousand things.
class Memory {
  static #all = new Map();
  #kind;

  constructor(kind) {
    this.#kind = kind;
  }

  async upsert(id, payload) {
    Memory.#all.set(`${this.#kind}:${id}`, structuredClone(payload));
  }

  async find(id) {
    return structuredClone(Memory.#all.get(`${this.#kind}:${id}`));
  }

  async destroy(id) {
    Memory.#all.delete(`${this.#kind}:${id}`);
  }

  // Only flows with a user need the rest.
  async findByUid() {}
  async findByUserCode() {}
  async consume() {}
  async revokeByGrantId() {}
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  scopes: [...scopes, "tickets:read", "tickets:write"],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    registration: { enabled: true, initialAccessToken: process.env.OAUTH_INITIAL_ACCESS_TOKEN },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: true },
    resourceIndicators: { enabled: false },
  },
});
const server = provider.listen(port, "127.0.0.1");
// Node closes idle connections after five seconds, at times just when a client uses one again.
server.keepAliveTimeout = 10 * 60 * 1000;
