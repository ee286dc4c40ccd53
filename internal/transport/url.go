package transport

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// ParseBase reads the URL that the paths of requests are appended to. It refuses what is no absolute http or https URL,
// one with a user name, query or fragment, and plain HTTP to anything but this machine unless allowPlain. Errors repeat the
// host at most: a password may stand anywhere in a URL that is written wrongly, and a query may hold a token.
func ParseBase(text string, allowPlain bool) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		// The error of url.Parse repeats the text, which may hold a password.
		return nil, errors.New("the URL cannot be parsed: write for example https://host.example/path")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the URL has a user name in it: give user name and password as their own arguments")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("this is not a complete URL: write for example https://host.example/path")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the URL of %q has a query or fragment: remove what follows the path", u.Host)
	case u.Scheme == "http" && !allowPlain && !IsLoopback(u.Hostname()):
		return nil, fmt.Errorf("the URL of %q would send credentials unencrypted: use https", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// IsLoopback reports whether host, a name or address without a port, is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
