package awsfake

import (
	"crypto/rand"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// AWS's quotas of a user.
const (
	maxKeys     = 2
	maxAttached = 10
	maxGroups   = 10
	maxTags     = 50
)

// userOperation does one operation of IAM.
func (f *Fake) userOperation(name string, in record) (record, error) {
	seen := f.view()
	switch name {
	case "CreateUser":
		return f.createUser(in)
	case "ListUsers":
		return page(in, slices.Collect(maps.Values(seen.users)), func(u *user) string { return u.name }, "Users", listed), nil
	case "GetAccountAuthorizationDetails":
		out := page(in, slices.Collect(maps.Values(seen.users)), func(u *user) string { return u.name }, "UserDetailList", detailed)
		return out, nil
	case "GetPolicy":
		if !seen.policies[in.text("PolicyArn")] {
			return nil, refuse("NoSuchEntity", "Policy %s does not exist or is not attachable.", in.text("PolicyArn"))
		}
		return record{"Policy": record{"Arn": in.text("PolicyArn")}}, nil
	case "GetAccessKeyLastUsed":
		return lastUsed(seen, in.text("AccessKeyId")), nil
	case "DeleteVirtualMFADevice":
		if !strings.HasPrefix(in.text("SerialNumber"), "arn:") {
			return nil, refuse("NoSuchEntity", "no virtual device %s", in.text("SerialNumber"))
		}
		return nil, nil
	case "GetGroup", "ListAttachedGroupPolicies", "ListGroupPolicies":
		return groupOperation(seen, name, in)
	}
	// IAM takes the caller's own user where a request names none; the driver always does.
	u, known := f.live.users[in.text("UserName")], seen.users[in.text("UserName")]
	if known == nil || u == nil {
		return nil, refuse("NoSuchEntity", "The user with name %s cannot be found.", in.text("UserName"))
	}
	if name == "GetUserPolicy" {
		return readPolicy(known, in.text("PolicyName"))
	}
	if out, is := readUser(name, known, in); is {
		return out, nil
	}
	out, err := f.changeUser(name, u, in)
	f.changed()
	return out, err
}

func (f *Fake) createUser(in record) (record, error) {
	name := in.text("UserName")
	for other := range f.live.users {
		if strings.EqualFold(other, name) {
			return nil, refuse("EntityAlreadyExists", "User with name %s already exists.", name)
		}
	}
	boundary := in.text("PermissionsBoundary")
	if boundary != "" && !f.live.policies[boundary] {
		return nil, refuse("NoSuchEntity", "Scope ARN: %s does not exist or is not attachable.", boundary)
	}
	u := newUser(name, in.text("Path"))
	u.boundary = boundary
	u.setTags(in)
	f.live.users[name] = u
	f.changed()
	return record{"User": u.whole()}, nil
}

func (u *user) setTags(in record) {
	list, _ := in["Tags"].([]any)
	for _, item := range list {
		if tag, ok := item.(record); ok {
			u.tags[tag.text("Key")] = tag.text("Value")
		}
	}
}

// listed is a user in a list: without tags and boundary (IAM API Reference, ListUsers).
func listed(u *user) any {
	return record{"UserName": u.name, "UserId": u.id, "Path": u.path, "Arn": u.arn(), "CreateDate": u.created}
}

func (u *user) whole() record {
	out, _ := listed(u).(record)
	if u.boundary != "" {
		out["PermissionsBoundary"] = boundary(u)
	}
	if len(u.tags) > 0 {
		out["Tags"] = u.tagList()
	}
	return out
}

func boundary(u *user) record {
	return record{"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": u.boundary}
}

func (u *user) tagList() []any {
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(u.tags)) {
		list = append(list, record{"Key": key, "Value": u.tags[key]})
	}
	return list
}

func detailed(u *user) any {
	out := u.whole()
	inline, attached, groups := []any{}, []any{}, []any{}
	for _, name := range slices.Sorted(maps.Keys(u.inline)) {
		inline = append(inline, record{"PolicyName": name, "PolicyDocument": encoded(u.inline[name])})
	}
	for _, arn := range u.attached {
		attached = append(attached, attachedPolicy(arn))
	}
	for _, name := range u.groups {
		groups = append(groups, name)
	}
	out["UserPolicyList"], out["AttachedManagedPolicies"], out["GroupList"] = inline, attached, groups
	return out
}

// encoded is a document as answers hold it: URL-encoded as in RFC 3986 (IAM API Reference, GetUserPolicy).
func encoded(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

func readPolicy(u *user, name string) (record, error) {
	document, ok := u.inline[name]
	if !ok {
		return nil, refuse("NoSuchEntity", "The user policy with name %s cannot be found.", name)
	}
	return record{"UserName": u.name, "PolicyName": name, "PolicyDocument": encoded(document)}, nil
}

func attachedPolicy(arn string) any {
	return record{"PolicyArn": arn, "PolicyName": arn[strings.LastIndexByte(arn, '/')+1:]}
}

func lastUsed(s *state, id string) record {
	for _, u := range s.users {
		for _, k := range u.keys {
			if k.id == id {
				used := record{"ServiceName": "N/A", "Region": "N/A"}
				if !k.used.IsZero() {
					used = record{"ServiceName": "sts", "Region": "us-east-1", "LastUsedDate": k.used}
				}
				return record{"UserName": u.name, "AccessKeyLastUsed": used}
			}
		}
	}
	return record{"AccessKeyLastUsed": record{"ServiceName": "N/A", "Region": "N/A"}}
}

func groupOperation(s *state, name string, in record) (record, error) {
	g := s.groups[in.text("GroupName")]
	if g == nil {
		return nil, refuse("NoSuchEntity", "The group with name %s cannot be found.", in.text("GroupName"))
	}
	switch name {
	case "ListAttachedGroupPolicies":
		return page(in, slices.Clone(g.attached), itself, "AttachedPolicies", attachedPolicy), nil
	case "ListGroupPolicies":
		return page(in, slices.Clone(g.inline), itself, "PolicyNames", text), nil
	}
	var members []*user
	for _, u := range s.users {
		if slices.Contains(u.groups, in.text("GroupName")) {
			members = append(members, u)
		}
	}
	out := page(in, members, func(u *user) string { return u.name }, "Users", listed)
	out["Group"] = groupRecord(in.text("GroupName"), g.id)
	return out, nil
}

func groupRecord(name, id string) record {
	return record{
		"GroupName": name, "GroupId": id, "Path": "/", "Arn": "arn:aws:iam::" + Account + ":group/" + name,
		"CreateDate": time.Unix(1700000000, 0),
	}
}

// readUser answers what only reads a user.
func readUser(name string, u *user, in record) (record, bool) {
	switch name {
	case "GetUser":
		return record{"User": u.whole()}, true
	case "ListUserTags":
		return page(in, u.tagList(), func(tag any) string { r, _ := tag.(record); return r.text("Key") }, "Tags", func(tag any) any { return tag }), true
	case "ListAttachedUserPolicies":
		return page(in, slices.Clone(u.attached), itself, "AttachedPolicies", attachedPolicy), true
	case "ListGroupsForUser":
		return page(in, slices.Clone(u.groups), itself, "Groups", func(g string) any { return groupRecord(g, "AGPA12345678901234567") }), true
	case "ListUserPolicies":
		return page(in, slices.Collect(maps.Keys(u.inline)), itself, "PolicyNames", text), true
	case "ListAccessKeys":
		return page(in, slices.Clone(u.keys), func(k accessKey) string { return k.id }, "AccessKeyMetadata", func(k accessKey) any {
			return record{"UserName": u.name, "AccessKeyId": k.id, "Status": statusOf(k), "CreateDate": k.created}
		}), true
	case "ListMFADevices":
		return page(in, slices.Clone(u.devices), itself, "MFADevices", func(s string) any {
			return record{"UserName": u.name, "SerialNumber": s, "EnableDate": u.created}
		}), true
	case "ListSSHPublicKeys":
		return page(in, slices.Clone(u.publicKeys), itself, "SSHPublicKeys", func(id string) any {
			return record{"UserName": u.name, "SSHPublicKeyId": id, "Status": "Active", "UploadDate": u.created}
		}), true
	case "ListSigningCertificates":
		return page(in, slices.Clone(u.certificates), itself, "Certificates", func(id string) any {
			return record{"UserName": u.name, "CertificateId": id, "CertificateBody": "-----BEGIN CERTIFICATE-----", "Status": "Active"}
		}), true
	case "ListServiceSpecificCredentials":
		list := []any{}
		for _, id := range u.services {
			list = append(list, record{
				"UserName": u.name, "ServiceSpecificCredentialId": id, "Status": "Active", "CreateDate": u.created,
				"ServiceName": "codecommit.amazonaws.com", "ServiceUserName": u.name + "-at-" + Account,
			})
		}
		return record{"ServiceSpecificCredentials": list}, true
	}
	return nil, false
}

func statusOf(k accessKey) string {
	if k.active {
		return "Active"
	}
	return "Inactive"
}

// changeUser does what changes a user.
func (f *Fake) changeUser(name string, u *user, in record) (record, error) {
	switch name {
	case "DeleteUser":
		if u.isBurdened() {
			return nil, refuse("DeleteConflict", "Cannot delete entity, must delete its subordinates first.")
		}
		delete(f.live.users, u.name)
	case "TagUser":
		before := maps.Clone(u.tags)
		if u.setTags(in); len(u.tags) > maxTags {
			u.tags = before
			return nil, refuse("LimitExceeded", "Cannot exceed quota for TagsPerUser: %d", maxTags)
		}
	case "UntagUser":
		for _, key := range in.texts("TagKeys") {
			delete(u.tags, key)
		}
	case "PutUserPolicy":
		u.inline[in.text("PolicyName")] = in.text("PolicyDocument")
	case "DeleteUserPolicy":
		if _, ok := u.inline[in.text("PolicyName")]; !ok {
			return nil, refuse("NoSuchEntity", "The user policy with name %s cannot be found.", in.text("PolicyName"))
		}
		delete(u.inline, in.text("PolicyName"))
	case "PutUserPermissionsBoundary":
		if !f.live.policies[in.text("PermissionsBoundary")] {
			return nil, refuse("NoSuchEntity", "Scope ARN: %s does not exist or is not attachable.", in.text("PermissionsBoundary"))
		}
		u.boundary = in.text("PermissionsBoundary")
	case "DeleteUserPermissionsBoundary":
		if u.boundary == "" {
			return nil, refuse("NoSuchEntity", "The user does not have a permissions boundary.")
		}
		u.boundary = ""
	case "AttachUserPolicy", "DetachUserPolicy", "AddUserToGroup", "RemoveUserFromGroup":
		return nil, f.changeHoldings(name, u, in)
	default:
		return u.changeLogins(name, in)
	}
	return nil, nil
}

func (u *user) isBurdened() bool {
	return len(u.keys)+len(u.inline)+len(u.attached)+len(u.groups)+len(u.devices)+len(u.publicKeys)+len(u.certificates)+
		len(u.services) > 0 || u.login
}

func (f *Fake) changeHoldings(name string, u *user, in record) error {
	arn, group := in.text("PolicyArn"), in.text("GroupName")
	switch name {
	case "AttachUserPolicy":
		switch {
		case !f.live.policies[arn]:
			return refuse("NoSuchEntity", "Policy %s does not exist or is not attachable.", arn)
		case slices.Contains(u.attached, arn):
		case len(u.attached) == maxAttached:
			return refuse("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: %d", maxAttached)
		default:
			u.attached = append(u.attached, arn)
		}
	case "DetachUserPolicy":
		if !slices.Contains(u.attached, arn) {
			return refuse("NoSuchEntity", "Policy %s was not found.", arn)
		}
		u.attached = without(u.attached, arn)
	case "AddUserToGroup":
		switch {
		case f.live.groups[group] == nil:
			return refuse("NoSuchEntity", "The group with name %s cannot be found.", group)
		case slices.Contains(u.groups, group):
		case len(u.groups) == maxGroups:
			return refuse("LimitExceeded", "Cannot exceed quota for GroupsPerUser: %d", maxGroups)
		default:
			u.groups = append(u.groups, group)
		}
	case "RemoveUserFromGroup":
		if f.live.groups[group] == nil {
			return refuse("NoSuchEntity", "The group with name %s cannot be found.", group)
		}
		u.groups = without(u.groups, group)
	}
	return nil
}

func without(list []string, item string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(other string) bool { return other == item })
}

// changeLogins does what changes how a user logs in.
func (u *user) changeLogins(name string, in record) (record, error) {
	i := slices.IndexFunc(u.keys, func(k accessKey) bool { return k.id == in.text("AccessKeyId") })
	switch name {
	case "CreateAccessKey":
		if len(u.keys) >= maxKeys {
			return nil, refuse("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		k := accessKey{id: "AKIA" + rand.Text()[:16], secret: rand.Text() + rand.Text(), active: true, created: time.Now().Truncate(time.Second)}
		u.keys = append(u.keys, k)
		return record{"AccessKey": record{
			"UserName": u.name, "AccessKeyId": k.id, "Status": "Active", "SecretAccessKey": k.secret, "CreateDate": k.created,
		}}, nil
	case "UpdateAccessKey", "DeleteAccessKey":
		if i < 0 {
			return nil, refuse("NoSuchEntity", "The Access Key with id %s cannot be found.", in.text("AccessKeyId"))
		}
		if name == "DeleteAccessKey" {
			u.keys = slices.Delete(slices.Clone(u.keys), i, i+1)
		} else {
			u.keys[i].active = in.text("Status") == "Active"
		}
		return nil, nil
	case "DeleteLoginProfile":
		if !u.login {
			return nil, refuse("NoSuchEntity", "Login Profile for User %s cannot be found.", u.name)
		}
		u.login = false
		return nil, nil
	}
	list, parameter := u.subordinates(name)
	if list == nil {
		return nil, refuse("InvalidAction", "the fake does not know %s", name)
	}
	id := in.text(parameter)
	if !slices.Contains(*list, id) {
		return nil, refuse("NoSuchEntity", "%s cannot be found.", id)
	}
	*list = without(*list, id)
	return nil, nil
}

func (u *user) subordinates(name string) (*[]string, string) {
	switch name {
	case "DeactivateMFADevice":
		return &u.devices, "SerialNumber"
	case "DeleteSSHPublicKey":
		return &u.publicKeys, "SSHPublicKeyId"
	case "DeleteSigningCertificate":
		return &u.certificates, "CertificateId"
	case "DeleteServiceSpecificCredential":
		return &u.services, "ServiceSpecificCredentialId"
	}
	return nil, ""
}
