package sandbox_test

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox/sandboxtest"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, sandboxtest.New(t))
}
