package audit

import "testing"

func TestWhoRuns(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want Actor
	}{
		"a person": {nil, Actor{Name: "me"}},
		"GitHub Actions": {map[string]string{
			"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "author", "GITHUB_TRIGGERING_ACTOR": "octo", "GITHUB_SERVER_URL": "https://github.com",
			"GITHUB_REPOSITORY": "acme/iam", "GITHUB_RUN_ID": "42",
		}, Actor{Name: "octo", System: "github_actions", RunURL: "https://github.com/acme/iam/actions/runs/42"}},
		"GitHub Actions, incomplete": {map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "author"}, Actor{Name: "author", System: "github_actions"}},
		"GitLab": {map[string]string{"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "lab", "CI_JOB_URL": "https://gitlab.example/j/1"},
			Actor{Name: "lab", System: "gitlab_ci", RunURL: "https://gitlab.example/j/1"}},
		"Jenkins": {map[string]string{"JENKINS_URL": "https://ci.example/", "BUILD_URL": "https://ci.example/job/1/", "BUILD_USER_ID": "jen"},
			Actor{Name: "jen", System: "jenkins", RunURL: "https://ci.example/job/1/"}},
		"Jenkins without its plugin": {map[string]string{"JENKINS_URL": "https://ci.example/"}, Actor{Name: "me", System: "jenkins"}},
		"CircleCI": {map[string]string{"CIRCLECI": "true", "CIRCLE_USERNAME": "circle", "CIRCLE_BUILD_URL": "https://circleci.com/b/1"},
			Actor{Name: "circle", System: "circleci", RunURL: "https://circleci.com/b/1"}},
		"Azure": {map[string]string{"TF_BUILD": "True", "BUILD_REQUESTEDFOREMAIL": "az@example.com", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
			"SYSTEM_TEAMPROJECT": "iam team", "BUILD_BUILDID": "7"},
			Actor{Name: "az@example.com", System: "azure_pipelines", RunURL: "https://dev.azure.com/acme/iam%20team/_build/results?buildId=7"}},
		"Bitbucket": {map[string]string{"BITBUCKET_BUILD_NUMBER": "9", "BITBUCKET_WORKSPACE": "acme", "BITBUCKET_REPO_SLUG": "iam",
			"BITBUCKET_STEP_TRIGGERER_UUID": "{u}"},
			Actor{Name: "{u}", System: "bitbucket_pipelines", RunURL: "https://bitbucket.org/acme/iam/pipelines/results/9"}},
		"Buildkite": {map[string]string{"BUILDKITE": "true", "BUILDKITE_BUILD_CREATOR_EMAIL": "kite@example.com", "BUILDKITE_BUILD_URL": "https://buildkite.com/b/1"},
			Actor{Name: "kite@example.com", System: "buildkite", RunURL: "https://buildkite.com/b/1"}},
		"HCP Terraform": {map[string]string{"TFC_RUN_ID": "run-1", "TFC_WORKSPACE_SLUG": "acme/iam"},
			Actor{Name: "me", System: "hcp_terraform", RunURL: "https://app.terraform.io/app/acme/workspaces/iam/runs/run-1"}},
		"Terraform Enterprise": {map[string]string{"TFC_RUN_ID": "run-1", "TFC_WORKSPACE_SLUG": "acme/iam", "ATLAS_ADDRESS": "https://tfe.example"},
			Actor{Name: "me", System: "hcp_terraform", RunURL: "https://tfe.example/app/acme/workspaces/iam/runs/run-1"}},
		"Atlantis on GitHub Actions": {map[string]string{"ATLANTIS_TERRAFORM_VERSION": "1.11.4", "USER_NAME": "atl", "PULL_URL": "https://github.com/a/b/pull/1",
			"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "runner"},
			Actor{Name: "atl", System: "atlantis", RunURL: "https://github.com/a/b/pull/1"}},
		"Atlantis, its built-in steps": {map[string]string{"ATLANTIS_TERRAFORM_VERSION": "1.11.4", "PULL_AUTHOR": "somebody"},
			Actor{Name: "me", System: "atlantis"}},
		"Spacelift": {map[string]string{"TF_VAR_spacelift_run_id": "01JKZ", "TF_VAR_spacelift_run_trigger": "lift",
			"TF_VAR_spacelift_account_name": "acme", "TF_VAR_spacelift_stack_id": "iam"},
			Actor{Name: "lift", System: "spacelift", RunURL: "https://acme.app.spacelift.io/stack/iam/run/01JKZ"}},
		"Spacelift, its own host": {map[string]string{"TF_VAR_spacelift_run_id": "01JKZ", "TF_VAR_spacelift_account_name": "acme.app.us.spacelift.io",
			"TF_VAR_spacelift_stack_id": "iam"},
			Actor{Name: "me", System: "spacelift", RunURL: "https://acme.app.us.spacelift.io/stack/iam/run/01JKZ"}},
	} {
		test.want.Host = "host"
		if got := WhoRuns(func(v string) string { return test.env[v] }, "me", "host"); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
