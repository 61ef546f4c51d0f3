// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func tcp(numbers ...uint16) []Port {
	var ports []Port
	for _, n := range numbers {
		ports = append(ports, Port{n, TCP})
	}
	return ports
}

// shop are the Services of a namespace with the usual ones, and of data and kube-system.
func shop() Services {
	return Services{
		Namespace: "shop",
		List: []Service{
			{Namespace: "shop", Name: "website", Ports: tcp(80), Own: true},
			{Namespace: "shop", Name: "orders", Ports: tcp(8080), Addresses: []string{"10.96.0.7", "fd00::7"}},
			{Namespace: "shop", Name: "cart", Ports: tcp(80, 9090), Addresses: []string{"10.96.0.8"}},
			{Namespace: "shop", Name: "redis", Ports: tcp(6379), Addresses: []string{"10.96.0.9"}},
			{Namespace: "shop", Name: "redis-server", Ports: tcp(6379)},
			{Namespace: "shop", Name: "rabbit", Ports: tcp(5672, 15672)},
			{Namespace: "shop", Name: "nats", Ports: tcp(4222)},
			{Namespace: "shop", Name: "kafka", Ports: tcp(9092), Headless: true, Pods: []string{"kafka-0", "kafka-1"}},
			{Namespace: "shop", Name: "mongo", Ports: tcp(27017), Headless: true},
			{Namespace: "shop", Name: "billing", ExternalName: "billing.example.com"},
			{Namespace: "data", Name: "db", Ports: tcp(5432)},
			{Namespace: "data", Name: "mysql", Ports: tcp(3306)},
			{Namespace: "data", Name: "mssql", Ports: tcp(1433)},
			{Namespace: "data", Name: "oracle", Ports: tcp(1521)},
			{Namespace: "shop", Name: "db", Ports: tcp(5432)},
			{Namespace: "shop", Name: "db-ro", Ports: tcp(5432)},
			{Namespace: "kube-system", Name: "kube-dns", Ports: []Port{{53, TCP}, {53, UDP}, {9153, TCP}}},
			{Namespace: "shop", Name: "statsd", Ports: []Port{{8125, UDP}}},
		},
	}
}

// listed writes dependencies as host:port, and /udp where it is, with an exclamation mark after those with notes.
func listed(dependencies []Dependency) string {
	var list []string
	for _, d := range dependencies {
		s := hostPort(d.Host, d.Port)
		if d.Protocol != TCP {
			s += "/" + string(d.Protocol)
		}
		if len(d.Notes) > 0 {
			s += "!"
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// values are what configurations say, and which dependencies that proves.
var values = []struct{ name, value, want string }{
	// URLs.
	{"http", "http://orders:8080/orders", "orders:8080"},
	{"a namespace", "http://orders.shop:8080", "orders.shop:8080"},
	{"svc", "http://orders.shop.svc:8080", "orders.shop.svc:8080"},
	{"cluster.local", "http://orders.shop.svc.cluster.local:8080/x", "orders.shop.svc.cluster.local:8080"},
	{"a trailing dot", "http://orders.shop.svc.cluster.local.:8080/x", "orders.shop.svc.cluster.local:8080"},
	{"upper case", "HTTP://Orders.SHOP.svc:8080", "orders.shop.svc:8080"},
	{"the default of http", "http://cart/items", "cart:80"},
	{"the default of a websocket", "ws://cart/socket", "cart:80"},
	{"the default of postgres", "postgres://app:s3cret@db.data/orders?sslmode=disable", "db.data:5432"},
	{"the default of redis", "redis://redis/0", "redis:6379"},
	{"the default of rediss", "rediss://:pw@redis", "redis:6379"},
	{"the default of amqp", "amqp://guest:guest@rabbit/%2f", "rabbit:5672"},
	{"the default of nats", "nats://nats", "nats:4222"},
	{"the only port", "custom://orders", "orders:8080"},
	{"a driver in the scheme", "postgresql+psycopg2://u:p@db.data/x", "db.data:5432"},
	{"a query", "http://orders:8080?x=1", "orders:8080"},
	{"a fragment", "http://orders:8080#x", "orders:8080"},
	{"a URL in a URL", "http://example.com/?next=http://orders:8080/x", "orders:8080"},
	{"two URLs", "http://orders:8080,http://cart", "cart:80 orders:8080"},
	{"the same scheme and name", "nats://nats:4222,nats://nats:4222", "nats:4222"},
	{"IPv4", "http://10.96.0.7:8080/", "10.96.0.7:8080"},
	{"IPv6", "http://[fd00::7]:8080/", "[fd00::7]:8080"},
	{"IPv6, spelled out", "http://[fd00:0:0:0:0:0:0:7]:8080/", "[fd00:0:0:0:0:0:0:7]:8080"},
	{"slashes escaped", `{"url":"http:\/\/orders:8080\/x"}`, "orders:8080"},
	{"a name of gRPC", "dns:///orders:8080", "orders:8080"},
	{"a short name of gRPC", "dns:orders:8080", "orders:8080"},
	{"after a word", "listening for http://orders:8080, please", "orders:8080"},
	{"in angle brackets", "<http://orders:8080>", "orders:8080"},
	{"at the end of a sentence", "ask http://orders:8080.", "orders:8080"},
	{"an ExternalName", "https://billing/v1", "billing:443"},
	{"another's port", "http://orders:9999/", "orders:9999!"},
	{"a URL that names the tag", "udp://statsd:8125", "statsd:8125/udp"},
	{"both protocols", "dns://kube-dns.kube-system:53", "kube-dns.kube-system:53 kube-dns.kube-system:53/udp"},

	// Passwords.
	{"user and password", "postgres://u:p@db.data:5432/x", "db.data:5432"},
	{"an at sign in it", "postgres://u:p@ss@db.data:5432/x", "db.data:5432"},
	{"a slash in it", "postgres://u:p/w@db.data:5432/x", "db.data:5432"},
	{"a number sign in it", "postgres://u:p#w@db.data:5432/x", "db.data:5432"},
	{"a slash and an at sign in it", "postgres://u:p/w@rd@db.data:5432/x", "db.data:5432"},
	{"a slash in it, an e-mail address later", "postgres://u:p/w@db.data:5432/x?to=me@orders", "db.data:5432"},
	{"a question mark in it", "amqp://u:a?b@rabbit:5672/", "rabbit:5672"},
	{"a semicolon in it", "amqp://u:a;b@rabbit:5672/", "rabbit:5672"},
	{"escapes in it", "amqp://u:%40%2F%3A@rabbit:5672/", "rabbit:5672"},
	{"hosts in it", "amqp://orders:8080@rabbit:5672/", "rabbit:5672"},
	{"no user", "redis://:p@redis:6379/0", "redis:6379"},

	// Connection strings.
	{"several hosts", "postgres://u:p@db.data:5432,db-ro:5432/x", "db-ro:5432 db.data:5432"},
	{"several hosts, no ports", "postgres://db.data,db-ro/x", "db-ro:5432 db.data:5432"},
	{"libpq", "host=db.data port=5432 user=app dbname=x", "db.data:5432"},
	{"libpq, the port first", "user=app port=5432 password='x y' host=db.data", "db.data:5432"},
	{"libpq, several hosts", "host=db.data,db-ro port=5432,5432", "db-ro:5432 db.data:5432"},
	{"libpq, one port for several hosts", "host=db.data,db-ro port=5432", "db-ro:5432 db.data:5432"},
	{"libpq, a list with something else in it", "host=cart,db-ro port=80,x", "db-ro:5432"},
	{"libpq, no port", "host=db dbname=x", "db:5432"},
	{"libpq, quoted", "host='db.data' port='5432'", "db.data:5432"},
	{"libpq in a URL", "postgresql:///x?host=db.data&port=5432", "db.data:5432"},
	{"Go's mysql", "app:p@ss@tcp(mysql.data:3306)/orders?parseTime=true", "mysql.data:3306"},
	{"jdbc:postgresql", "jdbc:postgresql://db.data:5432/x?user=u&password=p", "db.data:5432"},
	{"jdbc:postgresql, several", "jdbc:postgresql://db.data,db-ro:5432/x", "db-ro:5432 db.data:5432"},
	{"jdbc:mysql", "jdbc:mysql://mysql.data/orders", "mysql.data:3306"},
	{"jdbc:mysql:loadbalance", "jdbc:mysql:loadbalance://mysql.data/orders", "mysql.data:3306"},
	{"jdbc:mysql with addresses", "jdbc:mysql://address=(host=mysql.data)(port=3306)/x", "mysql.data:3306"},
	{"jdbc:sqlserver", "jdbc:sqlserver://mssql.data:1433;databaseName=x;user=sa;password=p@ss", "mssql.data:1433"},
	{"jdbc:sqlserver, no port", "jdbc:sqlserver://mssql.data;databaseName=x", "mssql.data:1433"},
	{"jdbc:oracle", "jdbc:oracle:thin:@//oracle.data:1521/XE", "oracle.data:1521"},
	{"jdbc:oracle, no port", "jdbc:oracle:thin:scott/tiger@//oracle.data/XE", "oracle.data:1521"},
	{"jdbc:oracle, a SID", "jdbc:oracle:thin:@oracle.data:1521:XE", "oracle.data:1521"},
	{"TNS", "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=oracle.data)(PORT=1521))(CONNECT_DATA=(SID=XE)))", "oracle.data:1521"},
	{"ADO.NET", "Server=tcp:mssql.data,1433;Database=x;User Id=sa;Password=p", "mssql.data:1433"},
	{"ADO.NET's Data Source", "Data Source=mssql.data,1433;Initial Catalog=x", "mssql.data:1433"},
	{"Npgsql", "Host=db.data;Port=5432;Username=u;Password=p", "db.data:5432"},
	{"StackExchange.Redis", "redis:6379,password=p,ssl=False", "redis:6379"},
	{"mongodb", "mongodb://u:p@mongo-0.mongo:27017,mongo-1.mongo:27017/x?replicaSet=rs0", "mongo-0.mongo:27017 mongo-1.mongo:27017"},
	{"mongodb+srv", "mongodb+srv://u:p@mongo.shop.svc.cluster.local/x", "mongo.shop.svc.cluster.local:27017!"},

	// host:port and lists of it.
	{"host:port", "redis:6379", "redis:6379"},
	{"a list", "kafka:9092,redis:6379", "kafka:9092 redis:6379"},
	{"a list with blanks", "kafka:9092, redis:6379", "kafka:9092 redis:6379"},
	{"a list with semicolons", "kafka:9092;redis:6379", "kafka:9092 redis:6379"},
	{"a list with blanks only", "kafka:9092 redis:6379", "kafka:9092 redis:6379"},
	{"brokers with listeners", "PLAINTEXT://kafka:9092,SASL_SSL://kafka-0.kafka:9093", "kafka-0.kafka:9093 kafka:9092"},
	{"IPv6 with a port", "[fd00::7]:8080", "[fd00::7]:8080"},
	{"a flag", "--upstream=orders:8080", "orders:8080"},
	{"a path after it", "orders:8080/orders", "orders:8080"},
	{"quoted", `["redis:6379", 'orders:8080']`, "orders:8080 redis:6379"},
	{"a line end in quotes", `"brokers:\nkafka:9092\nredis:6379"`, "kafka:9092 redis:6379"},
	{"a name like a key", "redis-server:6379", "redis-server:6379"},
	{"a pod", "kafka-1.kafka:9092", "kafka-1.kafka:9092"},
	{"a pod with its namespace", "kafka-1.kafka.shop:9092", "kafka-1.kafka.shop:9092"},
	{"a pod that isn't there", "kafka-7.kafka.shop.svc:9092", "kafka-7.kafka.shop.svc:9092!"},
	{"a headless Service's other port", "kafka:9094", "kafka:9094"},
	{"an ExternalName's port", "billing:8443", "billing:8443"},
	{"a namespace nobody may see", "pg.vault.svc.cluster.local:5432", "pg.vault.svc.cluster.local:5432!"},

	// Names that say what they are.
	{"svc alone", "orders.shop.svc", "orders.shop.svc:8080"},
	{"all ports", "cart.shop.svc.cluster.local", "cart.shop.svc.cluster.local:80 cart.shop.svc.cluster.local:9090"},
	{"in a sentence", "see orders.shop.svc, which answers", "orders.shop.svc:8080"},
	{"with a template for a port", "http://orders.shop.svc:${PORT}/", "orders.shop.svc:8080"},

	// Files.
	{"YAML", "redis:\n  host: redis\n  port: 6379\n", "redis:6379"},
	{"YAML, the port first", "redis:\n  port: 6379\n  host: redis\n", "redis:6379"},
	{"YAML, with more in between", "host: redis\npassword: x\ndb: 0\nport: 6379\n", "redis:6379"},
	{"YAML, two blocks", "a:\n  host: redis\nb:\n  port: 5432\n  host: db\n", "db:5432 redis:6379"},
	{"a list in YAML", "- host: redis\n- port: 5432\n  host: db\n", "db:5432 redis:6379"},
	{"another list in YAML", "- host: orders\n  port: 8080\n- host: cart\n- host: redis\n  port: 6379\n", "orders:8080 redis:6379"},
	{"YAML's comments", "host: redis # the cache\n", "redis:6379"},
	{"YAML, inline", "{host: redis, port: 6379}", "redis:6379"},
	{"YAML with a URL", "orders:\n  url: http://orders:8080/orders\n", "orders:8080"},
	{"JSON", `{"host":"redis","port":6379}`, "redis:6379"},
	{"JSON, a string for a port", `{"port": "6379", "host": "redis"}`, "redis:6379"},
	{"JSON, nested", `{"a":{"host":"cart","tls":{"on":true},"port":9090},"b":{"host":"redis","port":6379}}`, "cart:9090 redis:6379"},
	{"JSON in JSON", `{"config":"{\"host\":\"redis\",\"port\":6379}"}`, "redis:6379"},
	{"JSON, several lines", "{\n  \"host\": \"redis\",\n  \"port\": 6379\n}", "redis:6379"},
	{"JSON, a list of hosts", `{"hosts": ["redis"], "port": 6379}`, "redis:6379"},
	{"TOML", "[redis]\nhost = \"redis\"\nport = 6379\n\n[db]\nport = 5432\nhost = \"db\"\n", "db:5432 redis:6379"},
	{"properties", "spring.redis.host=redis\nspring.jpa.show-sql=false\n\n\n\n\nspring.redis.port=6379\n", "redis:6379"},
	{"properties with two", "a.host=redis\nb.host=db\na.port=6379\nb.port=5432\n", "db:5432 redis:6379"},
	{"camel case", `{"redisHost":"redis","dbHost":"db","redisPort":6379,"dbPort":5432}`, "db:5432 redis:6379"},
	{"hostName", `{"hostName":"cart","port":9090}`, "cart:9090"},
	{"nginx", "location / {\n  proxy_pass http://orders:8080;\n}", "orders:8080"},
	{"nginx's upstream", "upstream orders {\n  server orders:8080 max_fails=3;\n}\nproxy_pass http://orders;", "orders:8080"},
	{"HAProxy", "backend b\n  server s1 orders:8080 check\n", "orders:8080"},
	{"fluent-bit", "[OUTPUT]\n    Name  es\n    Host  redis\n    Port  6379\n", "redis:6379"},
	{"an XML attribute", `<redis host="redis" port="6379"/>`, "redis:6379"},
	{"a command line", "exec app --redis-host redis --redis-port 6379", "redis:6379"},
	{"redis-cli", "redis-cli -h redis -p 6379 ping", "redis:6379"},
	{"a file of variables", "REDIS_PORT=6379\nLOG=debug\nREDIS_HOST=redis\n", "redis:6379"},
	{"Windows line ends", "host: redis\r\nport: 6379\r\n", "redis:6379"},

	// What proves nothing.
	{"a bare word", "orders", ""},
	{"prose", "all orders go to redis, and the cart too", ""},
	{"a name and its namespace", "orders.shop", ""},
	{"an e-mail address", "me@orders.shop", ""},
	{"an e-mail address of a name that is one", "me@orders.shop.svc", ""},
	{"an image", "redis:7", ""},
	{"an image of a headless Service's name", "kafka:3", ""},
	{"an image with a version", "redis:6379-alpine", ""},
	{"an image with a digest", "redis:6379@sha256:abc", ""},
	{"an image of a registry", "docker.io/library/redis:6379", ""},
	{"a path", "/var/lib/orders/redis", ""},
	{"a path with a name that is one", "/etc/tls/orders.shop.svc/tls.crt", ""},
	{"a Windows path", `C:\orders\redis`, ""},
	{"a time", "12:30", ""},
	{"a time with a name", "cart:12:30", ""},
	{"a version", "orders 1.2.3", ""},
	{"a version after a colon", "redis:6379.1", ""},
	{"IPv6 alone", "fd00::7", ""},
	{"another address", "http://[fd00::8]:8080/ 10.96.0.77:8080", ""},
	{"a Java package", "orders.shop.Config", ""},
	{"a Java package that goes on", "com.example.orders.shop.svc.Config", ""},
	{"a longer name", "my-orders:8080 orders_1:8080 orders-v2:8080 örders:8080 xorders:8080", ""},
	{"a name that ends like a Service", "http://my.orders:8080", ""},
	{"another domain", "http://orders.shop.svc.example.com:8080", ""},
	{"localhost", "http://localhost:8080 127.0.0.1:6379", ""},
	{"another's port in host:port", "orders:9999", ""},
	{"port 0", "orders:0", ""},
	{"a port with a zero before it", "orders:08080", ""},
	{"a port beyond all", "http://orders:65536", ""},
	{"a scheme's port that the Service hasn't", "http://orders/", ""},
	{"a bucket", "s3://orders/2026", ""},
	{"a load balancer's own name", "lb://orders", ""},
	{"a path in a URL", "http://example.com/orders:8080", ""},
	{"a host with several ports alone", "CART_HOST=cart", ""},
	{"a sentence with a key in it", "host: orders are what we sell", ""},
	{"a virtual host", "RABBITMQ_VHOST=orders", ""},
	{"a port of another block", "redis:\n  host: cart\nport: 9090\n", ""},
	{"a port that is too far", "host: cart\n1:\n2:\n3:\n4:\nport: 9090\n", ""},
	{"the pod's own", "http://website/ website.shop.svc", ""},
	{"a template", "http://${ORDERS_HOST}:8080/ http://orders${SUFFIX}:8080/ orders:${PORT}", ""},
	{"a label's value", "app.kubernetes.io/name=orders", ""},
	{"a wildcard", "*.orders.shop.svc", ""},
	{"a search domain", "shop.svc.cluster.local", ""},
	{"nothing", "", ""},
}

func TestFindInValue(t *testing.T) {
	for _, test := range values {
		t.Run(test.name, func(t *testing.T) {
			found := Find([]Text{{Where: "configmap/app", Name: "app.conf", Value: test.value}}, shop())
			if got := listed(found); got != test.want {
				t.Errorf("in %q\n found %s\n want  %s", test.value, got, test.want)
			}
		})
	}
}

// variables makes texts of NAME=value.
func variables(list ...string) []Text {
	var texts []Text
	for _, v := range list {
		name, value, _ := strings.Cut(v, "=")
		texts = append(texts, Text{Where: "environment", Name: name, Value: value})
	}
	return texts
}

func arguments(list ...string) []Text {
	var texts []Text
	for _, value := range list {
		texts = append(texts, Text{Where: "args", Value: value})
	}
	return texts
}

func TestFindPairs(t *testing.T) {
	tests := []struct {
		name  string
		texts []Text
		want  string
	}{
		{"host and port", variables("REDIS_HOST=redis", "REDIS_PORT=6379"), "redis:6379"},
		{"in another order", variables("REDIS_PORT=6379", "OTHER=1", "REDIS_HOST=redis"), "redis:6379"},
		{"a hostname", variables("CART_HOSTNAME=cart", "CART_PORT=9090"), "cart:9090"},
		{"an address", variables("CART_ADDR=cart", "CART_PORT=9090"), "cart:9090"},
		{"SERVICE_HOST with PORT", variables("CART_SERVICE_HOST=cart", "CART_PORT=9090"), "cart:9090"},
		{"HOST with SERVICE_PORT", variables("CART_HOST=cart", "CART_SERVICE_PORT=80", "CART_SERVICE_PORT_X=9090"), "cart:80"},
		{"several hosts of one port", variables("CART_HOST=cart", "CART_ADDR=cart.shop", "CART_PORT=80"), "cart:80"},
		{"libpq's", variables("PGHOST=db.data", "PGPORT=5432", "PGUSER=x"), "db.data:5432"},
		{"an address with its own port", variables("ORDERS_ADDR=orders:8080", "ORDERS_PORT=1"), "orders:8080"},
		{"a URL with a port beside it", variables("ORDERS_HOST=http://orders/", "ORDERS_PORT=8080"), "orders:8080"},
		{"a URL without", variables("CART_HOST=http://cart/"), "cart:80"},
		{"another spelling", []Text{{Where: "configmap/app", Name: "redis.host", Value: "redis"}, {Where: "configmap/app", Name: "redis.port", Value: "6379"}}, "redis:6379"},
		{"a line end", variables("REDIS_HOST=redis\n", "REDIS_PORT=6379\n"), "redis:6379"},
		{"quotes", variables(`CART_HOST="cart"`, `CART_PORT="80"`), "cart:80"},
		{"a list", variables("PG_HOST=db,db-ro", "PG_PORT=5432"), "db-ro:5432 db:5432"},
		{"another's port", variables("ORDERS_HOST=orders", "ORDERS_PORT=1"), "orders:1!"},
		{"a host alone", variables("REDIS_HOST=redis"), "redis:6379"},
		{"a host of a namespace alone", variables("REDIS_HOST=redis.shop"), "redis.shop:6379"},
		{"a qualified host alone", variables("CART_HOST=cart.shop.svc"), "cart.shop.svc:80 cart.shop.svc:9090"},
		{"an address alone", variables("REDIS_HOST=10.96.0.9"), "10.96.0.9:6379"},
		{"IPv6", variables("ORDERS_HOST=fd00::7", "ORDERS_PORT=8080"), "[fd00::7]:8080"},
		{"flags", arguments("--redis-host=redis", "--verbose", "--redis-port=6379"), "redis:6379"},
		{"flags with their values after them", arguments("--cart-host", "cart", "--cart-port", "80"), "cart:80"},
		{"short flags", arguments("redis-cli", "-h", "cart", "-a", "x", "-n", "1", "-p", "9090"), "cart:9090"},
		{"the same flags twice", arguments("--host=cart", "--port=80", "--host=cart", "--port=9090"), "cart:80 cart:9090"},

		{"a host alone with several ports", variables("CART_HOST=cart"), ""},
		{"more than a host", variables("REDIS_HOST=redis cluster"), ""},
		{"another's port alone", variables("REDIS_PORT=6379", "CART_HOST=cart"), ""},
		{"the port of another place", append(variables("CART_HOST=cart"), Text{Where: "args", Name: "CART_PORT", Value: "80"}), ""},
		{"a short flag alone", arguments("app", "-h", "redis"), ""},
		{"a name that only ends so", variables("GHOST=redis", "RABBITMQ_VHOST=orders"), ""},
		{"a link", []Text{{Where: "environment", Name: "ORDERS_SERVICE_HOST", Value: "10.96.0.7", ServiceLink: true}, {Where: "environment", Name: "ORDERS_PORT", Value: "tcp://10.96.0.7:8080", ServiceLink: true}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := listed(Find(test.texts, shop())); got != test.want {
				t.Errorf("found %s, want %s", got, test.want)
			}
		})
	}
}

func TestFindMerges(t *testing.T) {
	texts := []Text{
		{Where: "environment", Name: "A", Value: "http://orders.shop.svc.cluster.local:8080/"},
		{Where: "environment", Name: "B", Value: "http://10.96.0.7:8080/ http://orders.shop:8080"},
		{Where: "args", Value: "http://orders:8080 http://orders:8080"},
	}
	want := `[{orders [orders orders.shop orders.shop.svc.cluster.local 10.96.0.7] shop orders  8080 tcp ` +
		`[{environment A http://orders.shop.svc.cluster.local:8080} {environment B http://10.96.0.7:8080} ` +
		`{environment B http://orders.shop:8080} {args  http://orders:8080}] []}]`
	if got := fmt.Sprint(Find(texts, shop())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFindOwn(t *testing.T) {
	services := shop()
	services.List[0].Own = false
	if got := listed(Find(variables("SELF=http://website/"), services)); got != "website:80" {
		t.Errorf("found %q", got)
	}
}

func TestFindDomain(t *testing.T) {
	services := shop()
	services.Domain = "corp.example."
	texts := variables("A=orders.shop.svc.corp.example", "B=http://cart.shop.svc.cluster.local/")
	if got := listed(Find(texts, services)); got != "orders.shop.svc.corp.example:8080" {
		t.Errorf("found %q", got)
	}
}

func TestEvidence(t *testing.T) {
	const secret = "hunter2"
	tests := []struct {
		name  string
		texts []Text
		want  Evidence
	}{
		{"a URL", variables("A=see http://orders:8080/x?token=hunter2"), Evidence{"environment", "A", "http://orders:8080"}},
		{"a password", variables("A=redis://app:hunter2@redis:6379/0"), Evidence{"environment", "A", "redis://***@redis:6379"}},
		{"a token", variables("A=redis://hunter2@redis/0"), Evidence{"environment", "A", "redis://***@redis"}},
		{"an odd password", variables("A=redis://app:hunter2/hunter2@redis:6379/0"), Evidence{"environment", "A", "redis://***@redis:6379"}},
		{"beside a password", variables("A=app:hunter2@tcp(mysql.data:3306)/x"), Evidence{"environment", "A", "mysql.data:3306"}},
		{"a connection string", variables("A=password=hunter2 host=db port=5432"), Evidence{"environment", "A", "host=db port=5432"}},
		{"ADO.NET", variables("A=Server=tcp:mssql.data,1433;Password=hunter2"), Evidence{"environment", "A", "Server=mssql.data,1433"}},
		{"a pair", variables("REDIS_HOST=redis", "REDIS_PORT=6379"), Evidence{"environment", "REDIS_HOST", "REDIS_HOST=redis REDIS_PORT=6379"}},
		{"a host", variables("REDIS_HOST=redis"), Evidence{"environment", "REDIS_HOST", "REDIS_HOST=redis"}},
		{
			"a secret",
			[]Text{{Where: "secret/app", Name: "url", Value: "redis://hunter2:hunter2@redis", Secret: true}},
			Evidence{"secret/app", "url", "redis:6379"},
		},
		{
			"a secret port",
			[]Text{
				{Where: "environment", Name: "CART_HOST", Value: "cart"},
				{Where: "environment", Name: "CART_PORT", Value: "9090", Secret: true},
			},
			Evidence{"environment", "CART_HOST", "cart:9090"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := Find(test.texts, shop())
			if len(found) != 1 || len(found[0].Evidence) != 1 || found[0].Evidence[0] != test.want {
				t.Errorf("found %+v, want %+v", found, test.want)
			}
			if strings.Contains(fmt.Sprint(found), secret) {
				t.Errorf("there is a password in %+v", found)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	tests := []struct{ value, want string }{
		{"http://orders:9999", "service shop/orders has no port 9999"},
		{"pg.vault.svc:5432", "no service vault/pg can be seen from here"},
		{"kafka-7.kafka:9092", "service shop/kafka has no pod kafka-7 now"},
		{"mongodb+srv://mongo", "the URL asks for SRV records, which can't be forwarded: name the hosts in one without +srv"},
	}
	for _, test := range tests {
		t.Run(test.value, func(t *testing.T) {
			found := Find(variables("A="+test.value), shop())
			if len(found) != 1 || !slices.Equal(found[0].Notes, []string{test.want}) {
				t.Errorf("found %+v, want a note %q", found, test.want)
			}
		})
	}
}

func TestNamespaces(t *testing.T) {
	texts := variables("A=http://db.data:5432", "B=kafka-0.kafka.streams:9092", "C=pg.vault.svc.cluster.local", "D=orders.shop:8080",
		"E=http://example.com http://10.0.0.1", "F=some.words.in.a.row and.others")
	if got := fmt.Sprint(Namespaces(texts, shop())); got != "[com data streams vault]" {
		t.Errorf("got %s", got)
	}
}
