// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseKey(t *testing.T) {
	tests := []struct {
		word string
		want key
		ok   bool
	}{
		{"REDIS_HOST", key{role: hostRole, stem: "redis"}, true},
		{"redis.host", key{role: hostRole, stem: "redis"}, true},
		{"--redis-host", key{role: hostRole, stem: "redis"}, true},
		{"redisHost", key{role: hostRole, stem: "redis"}, true},
		{"redisHostName", key{role: hostRole, stem: "redis"}, true},
		{"REDIS_HOST_NAME", key{role: hostRole, stem: "redis"}, true},
		{"SPRING_DATA_REDIS_HOST", key{role: hostRole, stem: "springdataredis"}, true},
		{"REDIS_SERVICE_HOST", key{role: hostRole, stem: "redis", service: true}, true},
		{"REDIS_SERVICE_PORT", key{role: portRole, stem: "redis", service: true}, true},
		{"REDIS_SERVICE_PORT_TLS", key{role: portRole, stem: "redis", service: true}, true},
		{"REDIS_PORT_6379_TCP_ADDR", key{role: hostRole, stem: "redisport6379tcp"}, true},
		{"REDIS_PORT_6379_TCP_PORT", key{role: portRole, stem: "redisport6379tcp"}, true},
		{"host", key{role: hostRole}, true},
		{"PORT", key{role: portRole}, true},
		{"PGHOST", key{role: hostRole, stem: "pg"}, true},
		{"-p", key{role: portRole}, true},
		{"VHOST", key{}, false},
		{"username", key{}, false},
		{"name", key{}, false},
		{"transport", key{}, false},
		{"", key{}, false},
		{"---", key{}, false},
	}
	for _, test := range tests {
		t.Run(test.word, func(t *testing.T) {
			if got, ok := parseName(test.word); ok != test.ok || ok && got != test.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

// Hosts and ports are inside of their texts, in order, and none overlaps another. What they're rewritten to, and what is
// found, must hold on to the same; nothing else may change.
func FuzzScan(f *testing.F) {
	for _, test := range values {
		f.Add("", test.value, "")
	}
	f.Add("REDIS_HOST", "redis", "6379")
	f.Add("REDIS_HOST", "redis,orders", "6379,8080")
	f.Add("ORDERS_HOST", "http://orders", "8080")
	f.Add("ORDERS_SERVICE_HOST", "fd00::7", "8080")
	f.Fuzz(func(t *testing.T, name, value, port string) {
		texts := []Text{
			{Where: "environment", Name: name, Value: value},
			{Where: "environment", Name: strings.Replace(name, "HOST", "PORT", 1), Value: port},
			{Where: "args", Value: value},
			{Where: "args", Value: port},
		}
		mentions := scan(texts)
		var spans []span
		for i, m := range mentions {
			if m.host.isEmpty() || i > 0 && m.host.text == mentions[i-1].host.text && m.host.start < mentions[i-1].host.start {
				t.Fatalf("mention %d of %+v is not in order: %+v", i, texts, m)
			}
			spans = append(spans, m.host)
			if !m.port.isEmpty() {
				spans = append(spans, m.port)
			}
		}
		slices.SortFunc(spans, func(a, b span) int {
			return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
		})
		spans = slices.Compact(spans)
		for i, s := range spans {
			if s.start < 0 || s.start >= s.end || s.end > len(texts[s.text].Value) {
				t.Fatalf("a span is outside of its text: %+v in %+v", s, texts)
			}
			if i > 0 && spans[i-1].text == s.text && spans[i-1].end > s.start {
				t.Fatalf("spans overlap: %+v and %+v in %+v", spans[i-1], s, texts)
			}
		}

		found := Find(texts, shop())
		if slices.ContainsFunc(found, hasAliases) {
			return
		}
		same, _ := NewRewriter(shop(), toItself(found)).Rewrite(texts)
		for i, text := range texts {
			if same[i] != text.Value {
				t.Fatalf("%q became %q", text.Value, same[i])
			}
		}
	})
}

// large is a configuration of many dependencies: variables, and a file of at least 1 MiB.
func large() ([]Text, Services) {
	services := Services{Namespace: "shop"}
	var texts []Text
	var file strings.Builder
	for i := range 200 {
		name := fmt.Sprintf("service-%d", i)
		services.List = append(services.List, Service{Namespace: "shop", Name: name, Ports: tcp(8080)})
		texts = append(texts,
			Text{Where: "environment", Name: fmt.Sprintf("SERVICE_%d_URL", i), Value: "http://user:password@" + name + ":8080/path?query=1"},
			Text{Where: "environment", Name: fmt.Sprintf("SERVICE_%d_HOST", i), Value: name},
			Text{Where: "environment", Name: fmt.Sprintf("SERVICE_%d_PORT", i), Value: "8080"},
		)
	}
	for i := 0; file.Len() < 1<<20; i++ {
		fmt.Fprintf(&file, "# The settings of no. %d, as they were before the last change of all of them\nclient:\n"+
			"  - name: number-%d\n    host: service-%d\n    port: 8080\n    url: http://service-%d.shop.svc.cluster.local:8080/x\n"+
			"    timeout: 30s\n    other: [service-%d:8080, other:80]\n    text: \"nothing to be found in here\"\n", i, i, i%200, i%200, i%200)
	}
	return append(texts, Text{Where: "configmap/app", Name: "app.yaml", Value: file.String()}), services
}

func BenchmarkFind(b *testing.B) {
	texts, services := large()
	for b.Loop() {
		Find(texts, services)
	}
}

func BenchmarkRewrite(b *testing.B) {
	texts, services := large()
	forwards := forward(Find(texts, services), otherPort)
	for b.Loop() {
		NewRewriter(services, forwards).Rewrite(texts)
	}
}

// What is repeated to make a text slow must not make it quadratic: that would take minutes.
func TestScanIsLinear(t *testing.T) {
	pieces := []string{
		"a", "a.", "a:", "a://", "a+", "a://a:b/", "a://a:b@", "a://a:b/@", "a,", "a:1,", "@//", "[", "[::", "{", "}", "host=", "host=a,", "host=a ",
		"host=a port=1 ", "port=1 host=a ", "host: \n", "port=1\n", "a\n ", "\n", " ", "- ", "host ", "\\n", "host=\"", ".svc", "a.b.svc ", "http://orders:8080 ",
		"host=orders,", "http://orders:8080,",
	}
	deadline := time.Now().Add(time.Minute)
	for _, piece := range pieces {
		value := strings.Repeat(piece, 1<<18/len(piece))
		for _, texts := range [][]Text{{{Value: value}}, {{Name: "X_HOST", Value: value}}, {{Value: "a://" + value}}} {
			Find(texts, shop())
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q takes too long", piece)
		}
	}
}
