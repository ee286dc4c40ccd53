# What the nhi provider needs in Vault. APPROLE is the path of the AppRole mount that holds the accounts.
path "auth/APPROLE/role/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "auth/APPROLE/login" {
  capabilities = ["update"]
}
path "identity/entity" {
  capabilities = ["create", "update"]
}
path "identity/entity/id/*" {
  capabilities = ["create", "update", "delete"]
}
path "identity/entity-alias" {
  capabilities = ["create", "update"]
}
path "identity/lookup/*" {
  capabilities = ["create", "update"]
}
path "identity/group/id/*" {
  capabilities = ["create", "update"]
}
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
# To end sessions.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/accessors/" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["create", "update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["create", "update"]
}
# To revoke the tokens of nhi_token.
path "auth/token/revoke" {
  capabilities = ["create", "update"]
}
# Only where rotations deliver to: KV is the mount, PREFIX the folder.
path "KV/data/PREFIX/*" {
  capabilities = ["create", "read", "update"]
}
path "KV/metadata/PREFIX/*" {
  capabilities = ["create", "update", "delete"]
}
