package acctest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// fault is one way in which a platform, or the way to it, fails.
type fault struct {
	name string
	// only is the protocol that can fail like this, "" for all.
	only string
	// outside faults need a provider in a process of its own.
	outside bool
	// times is how many requests are struck; 0 is all from the first one on, until the fault is healed.
	times int
	// harmless faults are shorter than the provider's patience: the run succeeds.
	harmless bool

	// prepare readies the network before any connection is made; strike happens at the first request that is struck,
	// before the platform sees it, spoil when its answer is ready. They hold the link's lock.
	prepare, strike func(l *faultLink)
	spoil           func(l *faultLink, answer int)
	// lost requests do not reach the platform, and their connection ends.
	lost bool
	// reply answers in the place of a platform that speaks HTTP, and sqlState in that of PostgreSQL, which ends the session.
	reply    HTTPFault
	sqlState string
	// behind is for a reply in the place of the platform's own: the platform has done what it was asked.
	behind bool
	// portion is what is left of the answer.
	portion portion
}

// portion is the part of an answer that gets through.
type portion int

const (
	whole portion = iota
	half
	nothing
)

func (p portion) of(size int) int {
	switch p {
	case half:
		return size / 2
	case nothing:
		return 0
	default:
		return size
	}
}

const (
	overHTTP       = "HTTP"
	overPostgreSQL = "PostgreSQL"
	onDisk         = "disk"

	// faultTimeout is the time limit of the platforms, and silence how long a silent network stays silent before it ends the
	// connections: longer, so that the provider gives up first.
	faultTimeout = 6 * time.Second
	silence      = 7 * time.Second
	// Writers of PostgreSQL wait for each other, and a bed must not fail because another one's network is silent. There the
	// silence is short.
	faultTimeoutPostgreSQL = 30 * time.Second
	silencePostgreSQL      = 2 * time.Second
	// failoverTime is how long a database takes no connections while its standby takes over.
	failoverTime = time.Second
)

// faults lists every fault.
func faults() []*fault {
	return []*fault{
		// The network. Requests reach the platform, which does what it is asked; the answer does not come.
		{name: "cut", strike: func(l *faultLink) { l.proxy.Stop() }, lost: true},
		{name: "cut behind", spoil: func(l *faultLink, _ int) { l.proxy.Stop() }},
		{name: "cut once", times: 1, lost: true},
		{name: "cut behind once", times: 1, portion: nothing},
		{name: "reset", prepare: func(l *faultLink) { l.resets(0) }, spoil: func(l *faultLink, _ int) { l.resets(1) }},
		{name: "silent", spoil: func(l *faultLink, _ int) {
			l.toxic("timeout", 1, `"timeout":`+strconv.FormatInt(l.silence.Milliseconds(), 10))
		}},
		{name: "slow", strike: func(l *faultLink) { l.toxic("latency", 1, `"latency":100,"jitter":50`) }, harmless: true},
		{name: "half", spoil: func(l *faultLink, answer int) {
			l.toxic("limit_data", 1, `"bytes":`+strconv.Itoa(answer/2+1))
		}},
		{name: "half once", times: 1, portion: half},
		{name: "no such host", outside: true, strike: func(l *faultLink) {
			l.names.set(l.host, false)
			l.renew()
		}, lost: true},
		{name: "other authority", strike: func(l *faultLink) {
			l.swapped = true
			l.renew()
		}, lost: true},

		// The platform, or a gateway in front of it.
		{name: "429", only: overHTTP, reply: status(http.StatusTooManyRequests, "")},
		{name: "429, wait 1 s", only: overHTTP, reply: status(http.StatusTooManyRequests, "1"), times: 2, harmless: true},
		{name: "429, wait 10 min", only: overHTTP, reply: status(http.StatusTooManyRequests, "600")},
		{name: "500", only: overHTTP, reply: status(http.StatusInternalServerError, "")},
		{name: "500 behind", only: overHTTP, behind: true, reply: status(http.StatusInternalServerError, "")},
		{name: "502 behind", only: overHTTP, behind: true, reply: status(http.StatusBadGateway, "")},
		{name: "502 behind once", only: overHTTP, behind: true, reply: status(http.StatusBadGateway, ""), times: 1},
		{name: "503", only: overHTTP, reply: status(http.StatusServiceUnavailable, "")},
		{name: "503 twice", only: overHTTP, reply: status(http.StatusServiceUnavailable, ""), times: 2},
		{name: "401", only: overHTTP, reply: status(http.StatusUnauthorized, "")},

		{name: "too many connections", only: overPostgreSQL, sqlState: "53300"},
		{name: "shut down", only: overPostgreSQL, sqlState: "57P01"},
		{name: "starting up", only: overPostgreSQL, sqlState: "57P03", times: 2},
		{name: "password refused", only: overPostgreSQL, sqlState: "28P01"},
		{name: "failover", only: overPostgreSQL, times: 1, strike: func(l *faultLink) {
			l.down = time.Now().Add(failoverTime)
			l.sessions()
		}},
	}
}

// diskFull is the fault of a file system: what is written beyond its size is refused.
func diskFull() *fault { return &fault{name: "disk full", only: onDisk} }

// of reports whether the fault can happen to a platform of the bed behind a link.
func (f *fault) of(platform string) bool {
	return f.only == "" || (f.only == overPostgreSQL) == (platform == "warehouse")
}

// status answers with a status, and with a Retry-After unless it is "".
func status(code int, retryAfter string) HTTPFault {
	return func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) bool {
		w.Header().Set("Content-Type", "application/json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"errors":["`+http.StatusText(code)+`"]}`)
		return true
	}
}

// resets makes connections end with a reset as soon as something is to be received, with a probability of 0 or 1.
// Toxiproxy must know of the toxic before the connections are made.
func (l *faultLink) resets(probability int) {
	const kind = "reset_peer"
	if l.proxy.Toxics.GetToxic(kind) == nil {
		l.toxic(kind, probability, `"timeout":0`)
		return
	}
	update := fmt.Sprintf(`{"toxicity":%d,"attributes":{"timeout":0}}`, probability)
	if _, err := l.proxy.Toxics.UpdateToxicJson(kind, strings.NewReader(update)); err != nil {
		l.t.Errorf("%s: toxic %s: %v", l.platform, kind, err)
	}
}
