package audit

import (
	"cmp"
	"net/url"
	"strings"
)

// system tells a CI system by its variables.
type system struct {
	name string
	// mark is a variable that only this system sets.
	mark string
	// users are the variables that may name who started the run, best first.
	users []string
	// url makes the address of the run, "" if a variable that it needs is not set.
	url func(env func(string) string) string
}

// systems lists the CI systems that are recognised. A system that runs inside another one stands before it: Atlantis
// and Spacelift run on agents of all kinds. Who wrote the change is not who runs it, so authors of pull requests are not
// among the users. Variables are as their documentation names them:
//
//   - Atlantis: https://www.runatlantis.io/docs/custom-workflows.html#native-environment-variables. Its built-in steps tell
//     Terraform the version alone (server/core/terraform/terraform_client.go); the others reach it where a workflow runs
//     Terraform in a step of its own, or hands them on with env steps.
//   - Azure Pipelines: https://learn.microsoft.com/azure/devops/pipelines/build/variables
//   - Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/variables-and-secrets/
//   - Buildkite: https://buildkite.com/docs/pipelines/configure/environment-variables
//   - CircleCI: https://circleci.com/docs/reference/variables/
//   - GitHub Actions: https://docs.github.com/actions/reference/workflows-and-actions/variables
//   - GitLab: https://docs.gitlab.com/ci/variables/predefined_variables/
//   - HCP Terraform: https://developer.hashicorp.com/terraform/cloud-docs/run/run-environment#environment-variables. None of
//     them names the user. ATLAS_ADDRESS is not documented; runs of Terraform Enterprise have it.
//   - Jenkins: https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables, and its plugin
//     https://plugins.jenkins.io/build-user-vars-plugin/, which says "timer" or the like where no person began the build.
//   - Spacelift: https://docs.spacelift.io/concepts/configuration/environment#spacelift-environment. The trigger is a user,
//     or what else began the run.
func systems() []system {
	return []system{
		{"hcp_terraform", "TFC_RUN_ID", nil, func(env func(string) string) string {
			organization, workspace, _ := strings.Cut(env("TFC_WORKSPACE_SLUG"), "/")
			return link(cmp.Or(env("ATLAS_ADDRESS"), "https://app.terraform.io"), "app", organization, "workspaces", workspace, "runs", env("TFC_RUN_ID"))
		}},
		{"spacelift", "TF_VAR_spacelift_run_id", []string{"TF_VAR_spacelift_run_trigger"}, spaceliftRun},
		{"atlantis", "ATLANTIS_TERRAFORM_VERSION", []string{"USER_NAME"}, variable("PULL_URL")},
		{"github_actions", "GITHUB_ACTIONS", []string{"GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"}, func(env func(string) string) string {
			return link(env("GITHUB_SERVER_URL"), env("GITHUB_REPOSITORY"), "actions", "runs", env("GITHUB_RUN_ID"))
		}},
		{"gitlab_ci", "GITLAB_CI", []string{"GITLAB_USER_LOGIN", "GITLAB_USER_EMAIL"}, variable("CI_JOB_URL")},
		{"jenkins", "JENKINS_URL", []string{"BUILD_USER_ID"}, variable("BUILD_URL")},
		{"circleci", "CIRCLECI", []string{"CIRCLE_USERNAME"}, variable("CIRCLE_BUILD_URL")},
		{"azure_pipelines", "TF_BUILD", []string{"BUILD_REQUESTEDFOREMAIL", "BUILD_REQUESTEDFOR"}, func(env func(string) string) string {
			page := link(env("SYSTEM_COLLECTIONURI"), url.PathEscape(env("SYSTEM_TEAMPROJECT")), "_build", "results")
			if page == "" || env("BUILD_BUILDID") == "" {
				return ""
			}
			return page + "?buildId=" + env("BUILD_BUILDID")
		}},
		{"bitbucket_pipelines", "BITBUCKET_BUILD_NUMBER", []string{"BITBUCKET_STEP_TRIGGERER_UUID"}, func(env func(string) string) string {
			return link("https://bitbucket.org", env("BITBUCKET_WORKSPACE"), env("BITBUCKET_REPO_SLUG"), "pipelines", "results", env("BITBUCKET_BUILD_NUMBER"))
		}},
		{"buildkite", "BUILDKITE", []string{"BUILDKITE_BUILD_CREATOR_EMAIL", "BUILDKITE_BUILD_CREATOR"}, variable("BUILDKITE_BUILD_URL")},
	}
}

// spaceliftRun makes the address of a run. The documentation shows the name of the account with its host and without.
func spaceliftRun(env func(string) string) string {
	host := env("TF_VAR_spacelift_account_name")
	if host == "" {
		return ""
	}
	if !strings.Contains(host, ".") {
		host += ".app.spacelift.io"
	}
	return link("https://"+host, "stack", env("TF_VAR_spacelift_stack_id"), "run", env("TF_VAR_spacelift_run_id"))
}

func variable(name string) func(func(string) string) string {
	return func(env func(string) string) string { return env(name) }
}

// link joins the parts of an address, "" if one is missing. Azure's collection already ends with a slash.
func link(parts ...string) string {
	for i, part := range parts {
		if part == "" {
			return ""
		}
		parts[i] = strings.TrimSuffix(part, "/")
	}
	return strings.Join(parts, "/")
}

// WhoRuns says who runs this process: the user of the CI system that env shows, or else osUser, on host. It believes
// what the environment says; who can set that can name anybody.
func WhoRuns(env func(string) string, osUser, host string) Actor {
	actor := Actor{Name: osUser, Host: host}
	for _, s := range systems() {
		if env(s.mark) == "" {
			continue
		}
		actor.System, actor.RunURL = s.name, s.url(env)
		for _, name := range s.users {
			if user := env(name); user != "" {
				actor.Name = user
				break
			}
		}
		break
	}
	return actor
}
