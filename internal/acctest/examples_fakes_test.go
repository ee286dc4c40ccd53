package acctest

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws/awsfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira/jirafake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp/sapbtpfake"
)

// awsExample lets a checked fake be the account of the example, with what its comments ask for. The login is where the SDK
// finds it.
func awsExample(t *testing.T, e *exampleRun) {
	t.Helper()
	fake := awsfake.New(t)
	id, key := fake.AddAdmin(func(string) bool { return true })
	fake.AddGroup("analysts", nil, nil)
	fake.AddPolicy("agents-boundary")
	fake.AddAWSPolicy("ReadOnlyAccess")
	e.place(`region = "eu-central-1"`, fmt.Sprintf("region = \"eu-central-1\"\n    endpoint = %q", fake.URL))
	e.Setenv("AWS_ACCESS_KEY_ID", id)
	e.Setenv("AWS_SECRET_ACCESS_KEY", key)
}

// jiraExample lets a checked fake be the site of the example, with what its comments ask for.
func jiraExample() example {
	var fake *jirafake.Fake
	reach := func(t *testing.T, e *exampleRun) {
		t.Helper()
		options := jirafake.Options{Username: "terraform@example.com", Token: "token-of-jira", OrganizationKey: "key-of-jira"}
		var err error
		if fake, err = jirafake.New(options); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(fake)
		t.Cleanup(server.Close)
		fake.AddUser("712020:b0b5a2f4-1c2d-4e5f-8a9b-0c1d2e3f4a5b", false)
		fake.AddGroup("billing-agents", "jira-software")
		fake.AddProject("BILL", "Developer")
		e.place(`"https://example.atlassian.net"`, fmt.Sprintf("%q\n    organization_url = %q", server.URL, server.URL+jirafake.OrganizationPath))
		e.Setenv("NHI_TICKETS_TOKEN", options.Token)
		e.Setenv("NHI_TICKETS_ORGANIZATION_KEY", options.OrganizationKey)
	}
	return example{reach: reach, use: func(t *testing.T, _ *exampleRun) {
		t.Helper()
		for _, problem := range fake.Broken() {
			t.Errorf("the fake's answer is not what Atlassian's document says: %s", problem)
		}
	}}
}

// sapBTPExample lets a checked fake be the subaccount and the level above it, which have one login there.
func sapBTPExample(t *testing.T, e *exampleRun) {
	t.Helper()
	options := sapbtpfake.Options{
		ClientID: "sb-subaccount!b1", ClientSecret: "secret-of-btp", InstanceID: "5f3cd3a0-7d4e-4b0a-9a2e-5d1f6c2b9e10",
	}
	fake := sapbtpfake.New(options)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	fake.AddRoleCollection("Billing Viewer")
	const above = "    level_above {\n      url       = \"https://api.authentication.eu10.hana.ondemand.com\""
	e.place(above, fmt.Sprintf("    level_above {\n      url = %q", server.URL+sapbtpfake.UpperPath))
	e.place("https://api.authentication.eu10.hana.ondemand.com", server.URL+sapbtpfake.SubaccountPath)
	e.place("https://service-manager.cfapps.eu10.hana.ondemand.com", server.URL+sapbtpfake.ManagerPath)
	for _, account := range []string{"my-subaccount", "my-global-account"} {
		e.place("https://"+account+".authentication.eu10.hana.ondemand.com/oauth/token", server.URL+sapbtpfake.TokenPath)
	}
	for _, client := range []string{"sb-global-account!b1", "sb-service-manager!b1"} {
		e.place(client, options.ClientID)
	}
	for _, name := range []string{"CLIENT_SECRET", "LEVEL_ABOVE_CLIENT_SECRET", "SERVICE_MANAGER_CLIENT_SECRET"} {
		e.Setenv("NHI_BTP_"+name, options.ClientSecret)
	}
}
