// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"bufio"
	"bytes"
	"net/http"
)

// repeatable reports whether what a caller has said is nothing, or nothing but whole HTTP/1 requests of methods that are safe:
// then it may be said again though somebody may have heard it (RFC 9110, section 9.2.2, which leaves that to those who know the
// method).
func repeatable(said []byte) bool {
	r := bufio.NewReader(bytes.NewReader(said))
	for {
		if _, err := r.Peek(1); err != nil {
			return true
		}
		request, err := http.ReadRequest(r)
		if err != nil || request.ContentLength != 0 || len(request.TransferEncoding) > 0 {
			return false
		}
		switch request.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			return false
		}
	}
}
