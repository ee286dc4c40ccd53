package fleet

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// TestFinalErrorAfterTime: what a driver says to be lost is told although the time is over, and the call is not repeated.
func TestFinalErrorAfterTime(t *testing.T) {
	for _, test := range []struct {
		err  error
		want driver.Code
	}{
		{driver.Errorf(driver.Unknown, "the token is lost"), driver.Unknown},
		{driver.Errorf(driver.Unknown, "cannot be read: %w", context.DeadlineExceeded), driver.Unavailable},
		{errors.New("cut"), driver.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := able{bare{newScript()}}
			p, _ := newTestPlatform(d, func(c *Config) { c.Options.Timeout = time.Second })
			conn := connect(t, p)
			asked := 0
			d.on = func(ctx context.Context, _ string, _ int) error {
				asked++
				<-ctx.Done()
				return test.err
			}
			_, err := conn.ReadNow(t.Context(), ref)
			wantCode(t, err, test.want)
			if final := test.want == driver.Unknown; final != (asked == 1) || final != strings.Contains(err.Error(), "is lost") {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
}
