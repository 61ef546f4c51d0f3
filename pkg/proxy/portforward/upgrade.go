// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

func (d *Dialer) upgradeWebSocket(ctx context.Context) (net.Conn, error) {
	roundTripper, holder, err := websocket.RoundTripperFor(d.config)
	if err != nil {
		return nil, err
	}
	// RFC 6455, section 4.1: the method is GET.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return nil, err
	}
	protocol := portforward.WebsocketsSPDYTunnelingPrefix + kubeportforward.PortForwardProtocolV1Name
	ws, err := websocket.Negotiate(roundTripper, holder, request, protocol)
	if err != nil {
		return nil, err
	}
	return kubeportforward.NewTunnelingConnectionWithLogger(klog.Background(), ws), nil
}

func (d *Dialer) upgradeSPDY(ctx context.Context) (net.Conn, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, kubeportforward.PortForwardProtocolV1Name)
	tlsConfig, err := rest.TLSConfigFor(d.config)
	if err != nil {
		return nil, err
	}
	dialer, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{TLS: tlsConfig, Proxier: d.config.Proxy})
	if err != nil {
		return nil, err
	}
	upgrade := &spdyUpgrade{dialer: dialer}
	wrapped, err := rest.HTTPWrappersForConfig(d.config, upgrade)
	if err != nil {
		return nil, err
	}
	response, err := wrapped.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if err := upgraded(response); err != nil {
		_ = upgrade.conn.Close()
		return nil, err
	}
	return upgrade.conn, nil
}

// upgraded makes sure that a server has switched protocols.
func upgraded(response *http.Response) error {
	if response.StatusCode != http.StatusSwitchingProtocols {
		said, err := io.ReadAll(io.LimitReader(response.Body, errorLimit))
		var status metav1.Status
		if err == nil && json.Unmarshal(said, &status) == nil && status.Message != "" {
			return &apierrors.StatusError{ErrStatus: status}
		}
		return fmt.Errorf("unable to upgrade connection: %s: %s", response.Status, said)
	}
	if protocol := response.Header.Get(httpstream.HeaderProtocolVersion); protocol != kubeportforward.PortForwardProtocolV1Name {
		return fmt.Errorf("the server offers %q instead of %q", protocol, kubeportforward.PortForwardProtocolV1Name)
	}
	return nil
}

// spdyUpgrade asks for SPDY, and has the connection that was asked over.
type spdyUpgrade struct {
	dialer interface {
		Dial(request *http.Request) (net.Conn, error)
	}
	conn net.Conn
}

func (u *spdyUpgrade) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	request = request.Clone(ctx)
	request.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	request.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	conn, err := u.dialer.Dial(request)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if !stop() && err == nil {
		_ = response.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	u.conn = conn
	return response, nil
}
