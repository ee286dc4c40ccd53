// A SCIM 2.0 service for the tests: SCIMMY speaks the protocol, this file keeps users and groups in memory.
// SCIMMY is independent of the provider, so a misreading of the RFCs cannot hide on both sides.
//
// usage: SCIM_TOKEN=... node server.mjs PORT      serves http://127.0.0.1:PORT/scim/v2

import { randomUUID } from "node:crypto";

import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const port = Number(process.argv[2]);
const token = process.env.SCIM_TOKEN;
if (!port || !token) {
  console.error("usage: SCIM_TOKEN=... node server.mjs PORT");
  process.exit(2);
}

SCIMMY.Config.set({
  patch: true,
  // Pages of fifty so that no client gets away without paging.
  filter: { supported: true, maxResults: 50 },
  bulk: { supported: true, maxOperations: 1000, maxPayloadSize: 1048576 },
});

const notFound = (id) => new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);

// Store keeps the resources of one type, whose names (the attribute `key`) are unique regardless of case.
class Store {
  #byId = new Map();
  #idByName = new Map();

  constructor(key) {
    this.key = key;
  }

  #name(resource) {
    return String(resource[this.key]).toLowerCase();
  }

  has(id) {
    return this.#byId.has(id);
  }

  all() {
    return [...this.#byId.values()];
  }

  get(id) {
    if (!this.has(id)) throw notFound(id);
    return this.#byId.get(id);
  }

  // save creates the resource, or replaces the one with this id.
  save(id, content) {
    const old = id === undefined ? undefined : this.get(id);
    const holder = this.#idByName.get(this.#name(content));
    if (holder !== undefined && holder !== id) {
      throw new SCIMMY.Types.Error(409, "uniqueness", `${this.key} already in use`);
    }
    const now = new Date().toISOString();
    const saved = { ...content, id: id ?? randomUUID() };
    saved.meta = { created: old?.meta.created ?? now, lastModified: now };
    if (old) this.#idByName.delete(this.#name(old));
    this.#idByName.set(this.#name(saved), saved.id);
    this.#byId.set(saved.id, saved);
    return saved;
  }

  delete(id) {
    this.#idByName.delete(this.#name(this.get(id)));
    this.#byId.delete(id);
  }
}

const users = new Store("userName");
const groups = new Store("displayName");

// groupsByMember answers for one request which groups each user is in, by itself and through groups that are members.
function groupsByMember() {
  const parents = new Map();
  for (const group of groups.all()) {
    for (const member of group.members ?? []) {
      if (!parents.has(member.value)) parents.set(member.value, []);
      parents.get(member.value).push(group);
    }
  }
  const view = (group, type) => ({ value: group.id, display: group.displayName, type });
  return {
    get(id) {
      const direct = parents.get(id);
      if (!direct) return undefined;
      const all = new Map(direct.map((group) => [group.id, view(group, "direct")]));
      for (const queue = [...direct]; queue.length > 0; ) {
        for (const group of parents.get(queue.pop().id) ?? []) {
          if (all.has(group.id)) continue;
          all.set(group.id, view(group, "indirect"));
          queue.push(group);
        }
      }
      return [...all.values()];
    },
  };
}

// checkMembers drops members named twice and refuses members that do not exist.
function checkMembers(group) {
  const members = new Map((group.members ?? []).map((member) => [member.value, member]));
  for (const id of members.keys()) {
    if (!users.has(id) && !groups.has(id)) throw new SCIMMY.Types.Error(400, "invalidValue", `no such member ${id}`);
  }
  return group.members ? { ...group, members: [...members.values()] } : group;
}

// leaveGroups takes what was deleted out of all groups.
function leaveGroups(id) {
  for (const group of groups.all()) {
    if (group.members?.some((member) => member.value === id)) {
      groups.save(group.id, { ...group, members: group.members.filter((member) => member.value !== id) });
    }
  }
}

// filtered keeps what a list request asked for. SCIMMY parses the filter and leaves its use to the store.
const filtered = (resource, all) => (resource.filter ? resource.filter.match(all) : all);

const plain = (data) => JSON.parse(JSON.stringify(data));

SCIMMY.Resources.declare(SCIMMY.Resources.User)
  .ingress((resource, data) => {
    const saved = users.save(resource.id, plain(data));
    return { ...saved, groups: groupsByMember().get(saved.id) };
  })
  .egress((resource) => {
    const memberships = groupsByMember();
    const view = (user) => ({ ...user, groups: memberships.get(user.id) });
    return resource.id ? view(users.get(resource.id)) : filtered(resource, users.all().map(view));
  })
  .degress((resource) => {
    users.delete(resource.id);
    leaveGroups(resource.id);
  });

SCIMMY.Resources.declare(SCIMMY.Resources.Group)
  .ingress((resource, data) => groups.save(resource.id, checkMembers(plain(data))))
  .egress((resource) => (resource.id ? groups.get(resource.id) : filtered(resource, groups.all())))
  .degress((resource) => {
    groups.delete(resource.id);
    leaveGroups(resource.id);
  });

const authentication = {
  type: "bearer",
  handler: (request) => {
    if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("the bearer token is not valid");
    return "";
  },
};

const app = express();
app.use("/scim/v2", new SCIMMYRouters(authentication));
const server = app.listen(port, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${port}`));
// Node closes idle connections after five seconds, at times just when a client uses one again.
server.keepAliveTimeout = 10 * 60 * 1000;
