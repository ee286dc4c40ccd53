package acctest

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// The scenarios of the matrix. A life is create, change, rotate, suspend, resume, destroy; import is a life of its own.
const (
	scenarioCreate  = "create"
	scenarioGrants  = "grants"
	scenarioRotate  = "rotate"
	scenarioSuspend = "suspend"
	scenarioResume  = "resume"
	scenarioDestroy = "destroy"
	scenarioImport  = "import"
)

func scenarios() []string {
	return []string{scenarioCreate, scenarioGrants, scenarioRotate, scenarioSuspend, scenarioResume, scenarioDestroy, scenarioImport}
}

const (
	// envCrash chooses how much of the matrix is run: "full" is every point of every scenario in every way; a number is as
	// many of each scenario and way; a try as it is printed ("rotate/kill/17") is that one. Without it, it is 1.
	envCrash = "NHI_ACC_CRASH"
	// envCrashSeed is the seed of the choice, which is printed; without it, 1.
	envCrashSeed = "NHI_ACC_CRASH_SEED"
	// lanes is how many lives go on at once, if go test's -parallel lets them.
	lanes = 4
	// tooMany failures say nothing new.
	tooMany = 8
)

// The provider is killed, or the CLI is interrupted once or twice, at every step of every scenario: before and after each
// call to a platform, each delivery of an audit event, and each thing that Terraform asks for. One apply later the
// platforms are as configured, nothing is left that state does not know, every change is in evidence, and no client of
// a rotation has ever failed.
func TestCrashMatrix(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	for name, sites := range crashSites() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var counts map[string]passed
			t.Run("count", func(t *testing.T) { counts = newWorld(t, sites).count() })
			if t.Failed() {
				t.FailNow()
			}
			m := newMatrix(counts, choice(t))
			t.Run("lives", func(t *testing.T) {
				for range lanes {
					t.Run("lane", func(t *testing.T) {
						t.Parallel()
						for m.left(scenarios()...) > 0 && m.failures() < tooMany {
							m.lived(t.Run("life", func(t *testing.T) { newWorld(t, sites).live(m) }))
						}
					})
				}
			})
			t.Logf("platforms: %s\n%s", name, m)
			if tries := m.tries(); len(m.missed)*20 > tries {
				t.Errorf("%d of %d points were not reached", len(m.missed), tries)
			}
		})
	}
}

// crashSites are the platforms of the matrix: the first issues credentials, the others store them. watch is called before
// anything passes between the provider and a server.
func crashSites() map[string]func(t *testing.T, watch func()) []*site {
	all := map[string]func(t *testing.T, watch func()) []*site{
		"sandbox": func(t *testing.T, _ func()) []*site {
			return []*site{sandboxSite(t, "warehouse"), sandboxSite(t, "crm")}
		},
		"real": func(t *testing.T, watch func()) []*site {
			servers := testenv.Load(t)
			pg := NewGate(t, net.JoinHostPort(servers.PostgreSQL.Host, strconv.Itoa(servers.PostgreSQL.Port)))
			gate, url := gateURL(t, servers.Vault.Address)
			pg.Watch(watch)
			gate.Watch(watch)
			return []*site{postgresqlSite(t, "warehouse", pg.Addr), vaultSite(t, "secrets", url), sandboxSite(t, "crm")}
		},
	}
	if os.Getenv(envCrash) == "" {
		delete(all, "sandbox") // among the real ones is a sandbox, too
	}
	return all
}

// choice returns what chooses the points of a scenario.
func choice(t *testing.T) func(scenario, way string, n int) []int {
	t.Helper()
	mode := os.Getenv(envCrash)
	if mode == "full" {
		return func(_, _ string, n int) []int { return everyNth(n, n, 0) }
	}
	if one := strings.Split(mode, "/"); len(one) == 3 {
		point := number(t, one[2])
		return func(scenario, way string, _ int) []int {
			if scenario != one[0] || way != one[1] {
				return nil
			}
			return []int{point}
		}
	}
	seed, each := 1, 1
	if text := os.Getenv(envCrashSeed); text != "" {
		seed = number(t, text)
	}
	if mode != "" {
		each = number(t, mode)
	}
	t.Logf("%s=%d", envCrashSeed, seed)
	return func(scenario, way string, n int) []int {
		// Half of the pairs today, the others tomorrow. Resuming is there because what is suspended has to go on.
		odd := slices.Index(scenarios(), scenario) + slices.Index(ways(), way) + seed
		if mode == "" && (odd%2 == 1 || scenario == scenarioResume) {
			return nil
		}
		// Other points for each way, and others again tomorrow.
		return everyNth(n, each, seed*7+slices.Index(ways(), way)*n/len(ways())/each)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
