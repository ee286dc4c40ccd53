package aws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// translating stands between the SDK and the server. It lets the SDK understand the errors of servers that grew out of S3:
// they answer in S3's form, a bare <Error>, whatever API was asked. AWS itself is not affected: its IAM and STS put an
// <ErrorResponse> around it. And it refuses what the SDK would take for an answer that lists nothing.
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
	if err != nil {
		return nil, err
	}
	isError := answer.StatusCode >= http.StatusBadRequest
	if !isError && speaksJSON(r) {
		return answer, nil
	}
	var from io.Reader = answer.Body
	if isError {
		from = io.LimitReader(from, maxError)
	}
	body, err := io.ReadAll(from)
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	var found s3Error
	if !isError {
		err = checkAnswer(awsmiddleware.GetOperationName(r.Context()), body)
	} else if xml.Unmarshal(body, &found) == nil {
		body = found.as(r, body)
	}
	if err != nil {
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

// speaksJSON reports whether a request is one of the JSON protocol (Secrets Manager), not of the query protocol (IAM, STS).
func speaksJSON(r *http.Request) bool { return r.Header.Get("X-Amz-Target") != "" }

// queryAnswer is what every answer of the query protocol has: the operation in the name of its element, and, in the result
// of a list, whether there is more and where (IAM API Reference, "Making query requests" and ListUsers).
type queryAnswer struct {
	XMLName xml.Name
	Parts   []struct {
		IsTruncated bool
		Marker      string
	} `xml:",any"`
}

// checkAnswer fails for a success without the answer to the operation in it, and for a list that has more and does not say
// where: to the SDK both are lists that end here.
func checkAnswer(operation string, body []byte) error {
	var found queryAnswer
	if err := xml.Unmarshal(body, &found); err != nil {
		return driver.Errorf(driver.Unknown, "the answer to %s is not one of AWS: %w", operation, err)
	}
	if found.XMLName.Local != operation+"Response" {
		return driver.Errorf(driver.Unknown, "the answer to %s is not one of AWS: it is a <%s>", operation, found.XMLName.Local)
	}
	for _, part := range found.Parts {
		if part.IsTruncated && part.Marker == "" {
			return driver.Errorf(driver.Unknown, "the answer to %s is not whole and does not say where it goes on", operation)
		}
	}
	return nil
}

// as writes the error in the form of the protocol that r speaks. What is in that form already, or is no error, stays.
func (e s3Error) as(r *http.Request, body []byte) []byte {
	asJSON := speaksJSON(r)
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
