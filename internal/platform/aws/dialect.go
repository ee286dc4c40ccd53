package aws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
)

// translating lets the SDK understand the errors of servers that grew out of S3: they answer in S3's form, a bare <Error>,
// whatever API was asked. AWS itself is not affected: its IAM and STS put an <ErrorResponse> around it.
type translating struct{ *http.Client }

// s3Error is an error as S3 writes it, or as IAM does, with Inner.
type s3Error struct {
	XMLName xml.Name
	Code    string   `xml:"Code"`
	Message string   `xml:"Message"`
	Inner   *s3Error `xml:"Error"`
}

// maxError bounds what is read of an error's text.
const maxError = 64 << 10

// Do sends a request.
func (t translating) Do(r *http.Request) (*http.Response, error) {
	answer, err := t.Client.Do(r) // #nosec G704 -- the SDK asks the endpoint that the configuration names.
	if err != nil || answer.StatusCode < http.StatusBadRequest {
		return answer, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	var found s3Error
	if xml.Unmarshal(body, &found) == nil {
		body = found.as(r, body)
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

// as writes the error in the form of the protocol that r speaks. What is in that form already, or is no error, stays.
func (e s3Error) as(r *http.Request, body []byte) []byte {
	asJSON := r.Header.Get("X-Amz-Target") != ""
	if e.XMLName.Local == "ErrorResponse" && e.Inner != nil && asJSON {
		e = *e.Inner
	}
	if e.XMLName.Local != "Error" || e.Code == "" {
		return body
	}
	var out []byte
	var err error
	if asJSON {
		out, err = json.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
	} else {
		out, err = xml.Marshal(struct {
			XMLName xml.Name `xml:"ErrorResponse"`
			Error   s3Error
		}{Error: e})
	}
	if err != nil {
		return body
	}
	return out
}
