package securityevents

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a sink leaves a goroutine behind, and with it a connection.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
