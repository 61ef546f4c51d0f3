// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// forward makes forwards of dependencies, with a local host of each of their Services and the given change of ports.
func forward(dependencies []Dependency, port func(uint16) uint16) []Forward {
	hosts := make(map[destination]string)
	var forwards []Forward
	for _, d := range dependencies {
		to := d.endpoint().destination
		if hosts[to] == "" {
			hosts[to] = fmt.Sprintf("127.84.1.%d", len(hosts)+1)
		}
		forwards = append(forwards, Forward{d, hosts[to], port(d.Port)})
	}
	return forwards
}

func samePort(port uint16) uint16 { return port }
func otherPort(uint16) uint16     { return 40001 }

// asked makes forwards of what somebody named.
func asked(t *testing.T, host string, port uint16, values ...string) []Forward {
	t.Helper()
	var forwards []Forward
	for _, value := range values {
		dependencies, err := ParseHost(value, shop())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dependencies {
			to := port
			if to == 0 {
				to = d.Port
			}
			forwards = append(forwards, Forward{d, host, to})
		}
	}
	return forwards
}

func TestRewriteValue(t *testing.T) {
	tests := []struct{ name, value, same, other string }{
		{
			"a URL", "postgres://u:p@db.data:5432/x?sslmode=verify-full",
			"postgres://u:p@127.84.1.1:5432/x?sslmode=verify-full", "postgres://u:p@127.84.1.1:40001/x?sslmode=verify-full",
		},
		{"a default port", "http://cart/items", "http://127.84.1.1/items", "http://127.84.1.1:40001/items"},
		{"the only port", "custom://orders/x", "custom://127.84.1.1/x", "custom://127.84.1.1:40001/x"},
		{"a trailing dot", "http://orders.shop.svc.:8080", "http://127.84.1.1:8080", "http://127.84.1.1:40001"},
		{"IPv6", "http://[fd00::7]:8080/x", "http://127.84.1.1:8080/x", "http://127.84.1.1:40001/x"},
		{"a password like a host", "amqp://orders:8080@rabbit/orders:8080", "amqp://orders:8080@127.84.1.1/orders:8080", "amqp://orders:8080@127.84.1.1:40001/orders:8080"},
		{"odd spaces", "host = db.data   port= '5432' ", "host = 127.84.1.1   port= '5432' ", "host = 127.84.1.1   port= '40001' "},
		{"the port first", "port=5432 host=db.data", "port=5432 host=127.84.1.1", "port=40001 host=127.84.1.1"},
		{"lists", "host=db.data,db-ro port=5432,5432", "host=127.84.1.1,127.84.1.2 port=5432,5432", "host=127.84.1.1,127.84.1.2 port=40001,40001"},
		{"a list and one port", "host=db.data,db-ro port=5432", "host=127.84.1.1,127.84.1.2 port=5432", "host=127.84.1.1,127.84.1.2 port=40001"},
		{"a list and a stranger", "host=db.data,pg.example.com port=5432", "host=127.84.1.1,pg.example.com port=5432", "host=127.84.1.1,pg.example.com port=40001,5432"},
		{"mysql", "u:p@tcp(mysql.data:3306)/x", "u:p@tcp(127.84.1.1:3306)/x", "u:p@tcp(127.84.1.1:40001)/x"},
		{"ADO.NET", "Server=tcp:mssql.data,1433;", "Server=tcp:127.84.1.1,1433;", "Server=tcp:127.84.1.1,40001;"},
		{"a list of brokers", "kafka:9092, redis:6379", "127.84.1.1:9092, 127.84.1.2:6379", "127.84.1.1:40001, 127.84.1.2:40001"},
		{"what is none", "redis:7 orders me@orders.shop /orders 12:30", "redis:7 orders me@orders.shop /orders 12:30", "redis:7 orders me@orders.shop /orders 12:30"},
		{"a dependency and what is none", "redis:7 redis:6379 redis", "redis:7 127.84.1.1:6379 redis", "redis:7 127.84.1.1:40001 redis"},
		{"YAML", "host: redis\nport: 6379\n", "host: 127.84.1.1\nport: 6379\n", "host: 127.84.1.1\nport: 40001\n"},
		{"JSON", `{"host":"redis","port":6379}`, `{"host":"127.84.1.1","port":6379}`, `{"host":"127.84.1.1","port":40001}`},
		{"nginx's upstream", "upstream orders{ server orders:8080; } proxy_pass http://orders;", "upstream orders{ server 127.84.1.1:8080; } proxy_pass http://orders;", "upstream orders{ server 127.84.1.1:40001; } proxy_pass http://orders;"},
		{"a host alone", "cart.shop.svc", "127.84.1.1", "cart.shop.svc"},
		{"SRV", "mongodb+srv://mongo.shop.svc/x", "mongodb+srv://mongo.shop.svc/x", "mongodb+srv://mongo.shop.svc/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			texts := variables("A=" + test.value)
			found := Find(texts, shop())
			if got, _ := NewRewriter(shop(), forward(found, samePort)).Rewrite(texts); got[0] != test.same {
				t.Errorf("with the same ports:\n got  %s\n want %s", got[0], test.same)
			}
			if got, _ := NewRewriter(shop(), forward(found, otherPort)).Rewrite(texts); got[0] != test.other {
				t.Errorf("with other ports:\n got  %s\n want %s", got[0], test.other)
			}
		})
	}
}

func TestRewriteTexts(t *testing.T) {
	links := func(list ...string) []Text {
		texts := variables(list...)
		for i := range texts {
			texts[i].ServiceLink = true
		}
		return texts
	}
	tests := []struct {
		name     string
		texts    []Text
		forwards []Forward
		want     []string
		gaps     string // parts of them
	}{
		{
			name: "a pair", texts: variables("REDIS_HOST=redis", "REDIS_PORT=6379", "OTHER_PORT=6379"),
			forwards: asked(t, "127.0.0.1", 40001, "redis"), want: []string{"127.0.0.1", "40001", "6379"},
		},
		{
			name: "a host without a port", texts: variables("REDIS_HOST=redis"),
			forwards: asked(t, "127.84.1.3", 0, "redis"), want: []string{"127.84.1.3"},
		},
		{
			name: "a host without the port it would need", texts: variables("REDIS_HOST=redis"),
			forwards: asked(t, "127.0.0.1", 40001, "redis"), want: []string{"redis"},
			gaps: "no port to rewrite, and port 6379 is forwarded from 40001",
		},
		{
			name: "a host that proves nothing, of a dependency", texts: variables("CART_HOST=cart"),
			forwards: asked(t, "127.84.1.3", 0, "cart"), want: []string{"127.84.1.3"},
		},
		{
			name: "a port of one text and a host of another", texts: arguments("--redis-host", "redis", "--redis-port", "6379"),
			forwards: asked(t, "127.0.0.1", 40001, "redis"), want: []string{"--redis-host", "127.0.0.1", "--redis-port", "40001"},
		},
		{
			name: "service links of a dependency",
			texts: links("ORDERS_SERVICE_HOST=10.96.0.7", "ORDERS_SERVICE_PORT=8080", "ORDERS_SERVICE_PORT_HTTP=8080", "ORDERS_PORT=tcp://10.96.0.7:8080",
				"ORDERS_PORT_8080_TCP=tcp://10.96.0.7:8080", "ORDERS_PORT_8080_TCP_PROTO=tcp", "ORDERS_PORT_8080_TCP_PORT=8080", "ORDERS_PORT_8080_TCP_ADDR=10.96.0.7",
				"REDIS_SERVICE_HOST=10.96.0.9", "REDIS_SERVICE_PORT=6379"),
			forwards: asked(t, "127.0.0.1", 40001, "orders"),
			want:     []string{"127.0.0.1", "40001", "40001", "tcp://127.0.0.1:40001", "tcp://127.0.0.1:40001", "tcp", "40001", "127.0.0.1", "10.96.0.9", "6379"},
		},
		{
			name:     "a service link in IPv6",
			texts:    links("ORDERS_SERVICE_HOST=fd00::7", "ORDERS_SERVICE_PORT=8080", "ORDERS_PORT=tcp://[fd00::7]:8080"),
			forwards: asked(t, "::1", 40001, "orders"), want: []string{"::1", "40001", "tcp://[::1]:40001"},
		},
		{
			name:     "a service link of one port of several",
			texts:    links("CART_SERVICE_HOST=10.96.0.8", "CART_SERVICE_PORT=80", "CART_SERVICE_PORT_HTTP=80", "CART_SERVICE_PORT_METRICS=9090"),
			forwards: asked(t, "127.0.0.1", 40001, "cart:80"), want: []string{"127.0.0.1", "40001", "40001", "9090"},
		},
		{
			name: "other names of it", texts: variables("A=http://orders.shop.svc.cluster.local.:8080", "B=orders.shop:8080", "C=10.96.0.7:8080"),
			forwards: asked(t, "127.84.1.3", 0, "orders"), want: []string{"http://127.84.1.3:8080", "127.84.1.3:8080", "127.84.1.3:8080"},
		},
		{
			name: "a host that is no Service", texts: variables("A=https://api.example.com/x", "B=api.example.com:8443", "C=203.0.113.5:443", "D=api.example.com"),
			forwards: append(asked(t, "127.84.1.3", 0, "api.example.com:443"), asked(t, "127.84.1.4", 0, "203.0.113.5:443")...),
			want:     []string{"https://127.84.1.3/x", "api.example.com:8443", "127.84.1.4:443", "api.example.com"},
		},
		{
			name: "pods of a headless Service", texts: variables("A=kafka-0.kafka:9092,kafka-1.kafka.shop.svc:9092,kafka:9092"),
			forwards: append(asked(t, "127.84.1.3", 0, "kafka-0.kafka:9092"), asked(t, "127.84.1.4", 0, "kafka-1.kafka:9092")...),
			want:     []string{"127.84.1.3:9092,127.84.1.4:9092,kafka:9092"},
		},
		{
			name: "one port written for two", texts: variables("A=host=db,db-ro port=5432"),
			forwards: append(asked(t, "127.0.0.1", 40001, "db"), asked(t, "127.0.0.1", 40002, "db-ro")...),
			want:     []string{"host=127.0.0.1,127.0.0.1 port=40001,40002"},
		},
		{
			name: "one port variable for two", texts: variables("PG_ADDR=db", "PG_HOST=db-ro", "PG_PORT=5432"),
			forwards: append(asked(t, "127.0.0.1", 40001, "db"), asked(t, "127.0.0.1", 40002, "db-ro")...),
			want:     []string{"127.0.0.1", "db-ro", "40001"}, gaps: "its port is that of another host",
		},
		{
			name: "ports of one host from several addresses", texts: variables("CART_HOST=cart.shop.svc", "CART=http://cart cart:9090"),
			forwards: append(asked(t, "127.0.0.1", 0, "cart:80"), asked(t, "127.0.0.2", 0, "cart:9090")...),
			want:     []string{"cart.shop.svc", "http://127.0.0.1 127.0.0.2:9090"}, gaps: "different addresses",
		},
		{
			name: "both protocols", texts: variables("DNS=kube-dns.kube-system:53"),
			forwards: asked(t, "127.84.1.3", 0, "kube-dns.kube-system:53"), want: []string{"127.84.1.3:53"},
		},
		{
			name: "a URL with a port beside it", texts: variables("ORDERS_HOST=http://orders/", "ORDERS_PORT=8080"),
			forwards: asked(t, "127.0.0.1", 40001, "orders"), want: []string{"http://127.0.0.1/", "40001"},
		},
		{name: "nothing", want: []string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, gaps := NewRewriter(shop(), test.forwards).Rewrite(test.texts)
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if said := fmt.Sprint(gaps); !strings.Contains(said, test.gaps) || test.gaps == "" && len(gaps) > 0 {
				t.Errorf("gaps %s, want %q", said, test.gaps)
			}
		})
	}
}

// all are the texts of every test of values, together.
func all() []Text {
	var texts []Text
	for _, test := range values {
		texts = append(texts, Text{Where: test.name, Value: test.value})
	}
	return texts
}

// toItself makes forwards that lead where the dependencies are.
func toItself(dependencies []Dependency) []Forward {
	var forwards []Forward
	for _, d := range dependencies {
		forwards = append(forwards, Forward{d, d.Host, d.Port})
	}
	return forwards
}

func hasAliases(d Dependency) bool { return len(d.Names) > 1 }

func TestRewriteToItselfChangesNothing(t *testing.T) {
	for _, text := range all() {
		found := Find([]Text{text}, shop())
		if slices.ContainsFunc(found, hasAliases) {
			continue // of which only one can be kept
		}
		got, _ := NewRewriter(shop(), toItself(found)).Rewrite([]Text{text})
		if got[0] != text.Value {
			t.Errorf("%s: %q became %q", text.Where, text.Value, got[0])
		}
	}
}

func TestRewrittenBackIsTheOriginal(t *testing.T) {
	for _, text := range all() {
		if strings.Contains(text.Value, ".local.:") || strings.Contains(text.Value, "Orders") {
			continue // names are not put back as they were spelled
		}
		found := Find([]Text{text}, shop())
		if slices.ContainsFunc(found, hasAliases) {
			continue
		}
		forwards := forward(found, samePort)
		got, _ := NewRewriter(shop(), forwards).Rewrite([]Text{text})
		for _, f := range forwards {
			name := f.Dependency.Host
			if isAddress(name) && strings.Contains(name, ":") {
				name = "[" + name + "]"
			}
			got[0] = strings.ReplaceAll(got[0], f.Host, name)
		}
		if got[0] != text.Value {
			t.Errorf("%s: %q became %q", text.Where, text.Value, got[0])
		}
	}
}

// What is found is rewritten: afterwards, nothing is left to be found.
func TestFindAndRewriteAgree(t *testing.T) {
	for _, text := range all() {
		if strings.Contains(text.Value, "+srv") {
			continue
		}
		texts := []Text{text}
		got, gaps := NewRewriter(shop(), forward(Find(texts, shop()), samePort)).Rewrite(texts)
		if len(gaps) > 0 {
			t.Errorf("%s: %v", text.Where, gaps)
		}
		if left := Find([]Text{{Where: text.Where, Value: got[0]}}, shop()); len(left) > 0 {
			t.Errorf("%s: %q became %q, in which there is %s", text.Where, text.Value, got[0], listed(left))
		}
	}
}
