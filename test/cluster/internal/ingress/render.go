// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"bytes"
	_ "embed"
	"regexp"
	"strings"
	"text/template"
)

//go:embed nginx.conf.tmpl
var source string

var configuration = template.Must(template.New("nginx.conf").Funcs(template.FuncMap{
	"serverName": serverName,
	"quote":      quote,
	"hasRoot":    hasRoot,
}).Parse(source))

// render writes nginx's configuration. Dir is where it keeps its files, generation what tells this one from others.
func render(dir, generation string, ports Ports, servers []server) ([]byte, error) {
	var out bytes.Buffer
	err := configuration.Execute(&out, map[string]any{
		"Dir": dir, "Generation": generation, "Ports": ports, "Servers": servers,
	})
	return out.Bytes(), err
}

// serverName is a host in nginx's terms. A wildcard in an Ingress is for exactly one label, in nginx for any number.
func serverName(host string) string {
	if host == "" {
		return `""`
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		return quote(`~^[^.]+\.` + regexp.QuoteMeta(rest) + `$`)
	}
	return quote(host)
}

// quote makes one word of nginx's configuration of any text.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func hasRoot(locations []location) bool {
	for _, l := range locations {
		if l.Path == "/" && !l.Exact {
			return true
		}
	}
	return false
}
