package provider

import "os"

// silenceLogs ends the logs of this process if Terraform would throw them away. The libraries always write all of them, in all
// detail, for Terraform to choose from; writing them, and reading them on the other side, is a large part of what a plan of
// thousands of resources costs. What decides about them is in
// https://developer.hashicorp.com/terraform/internals/debugging and https://developer.hashicorp.com/terraform/plugin/log/managing.
func silenceLogs() error {
	for _, asked := range []string{"TF_LOG", "TF_LOG_PROVIDER"} {
		if os.Getenv(asked) != "" {
			return nil
		}
	}
	for _, source := range []string{"TF_LOG_SDK", "TF_LOG_SDK_PROTO", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_PROVIDER_NHI"} {
		if err := os.Setenv(source, "OFF"); err != nil {
			return err
		}
	}
	return nil
}
