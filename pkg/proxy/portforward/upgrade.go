// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	kubeportforward "k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// client-go's own dialers for port-forwards take no context and give no way to their socket, so the two upgrades are
// put together here from the same parts.

func (t *Transport) upgradeWebSocket(ctx context.Context) (upgraded, error) {
	roundTripper, holder, err := websocket.RoundTripperFor(t.config)
	if err != nil {
		return upgraded{}, err
	}
	// RFC 6455, section 4.1: the method is GET.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), nil)
	if err != nil {
		return upgraded{}, err
	}
	protocol := portforward.WebsocketsSPDYTunnelingPrefix + kubeportforward.PortForwardProtocolV1Name
	ws, err := websocket.Negotiate(roundTripper, holder, request, protocol)
	if err != nil {
		return upgraded{}, err
	}
	socket := kubeportforward.NewTunnelingConnectionWithLogger(klog.Background(), ws)
	streams, err := spdy.NewClientConnection(socket)
	if err != nil {
		return upgraded{}, err
	}
	return upgraded{streams: streams, socket: socket}, nil
}

func (t *Transport) upgradeSPDY(ctx context.Context) (upgraded, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), nil)
	if err != nil {
		return upgraded{}, err
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, kubeportforward.PortForwardProtocolV1Name)
	socket := &socket{}
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	roundTripper, err := t.spdyRoundTripper(request, socket)
	if err != nil {
		return upgraded{}, err
	}
	wrapped, err := rest.HTTPWrappersForConfig(t.config, roundTripper)
	if err != nil {
		return upgraded{}, err
	}
	response, err := (&http.Client{Transport: wrapped}).Do(request)
	if err != nil {
		return upgraded{}, err
	}
	defer response.Body.Close()
	streams, err := roundTripper.NewConnection(response)
	if err != nil {
		return upgraded{}, err
	}
	if protocol := response.Header.Get(httpstream.HeaderProtocolVersion); protocol != kubeportforward.PortForwardProtocolV1Name {
		_ = streams.Close()
		return upgraded{}, fmt.Errorf("the server offers %q instead of %q", protocol, kubeportforward.PortForwardProtocolV1Name)
	}
	return upgraded{streams: streams, socket: socket}, nil
}

// spdyRoundTripper returns one that dials through socket, except where there is an HTTP proxy: the library dials those
// itself or not at all.
func (t *Transport) spdyRoundTripper(request *http.Request, socket *socket) (*spdy.SpdyRoundTripper, error) {
	tlsConfig, err := rest.TLSConfigFor(t.config)
	if err != nil {
		return nil, err
	}
	proxy := http.ProxyFromEnvironment
	if t.config.Proxy != nil {
		proxy = t.config.Proxy
	}
	via, err := proxy(request)
	if err != nil {
		return nil, err
	}
	if via != nil {
		return spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{TLS: tlsConfig, Proxier: proxy})
	}
	return spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{
		UpgradeTransport: &http.Transport{DialContext: socket.dial, TLSClientConfig: tlsConfig},
	})
}

// socket is the TCP connection below an upgraded one. It may be closed before it is dialled.
type socket struct {
	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

func (s *socket) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	s.conn = conn
	return conn, nil
}

func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
