package protocol

import "bytes"

// Refusal is what S3 says of a refusal ("Error responses", Amazon S3 API reference).
type Refusal struct{ Code, Message, Region, RequestID string }

// ParseRefusal reads one; ok says that b is the document of a refusal.
func ParseRefusal(b []byte) (d Refusal, ok bool) {
	if !bytes.Contains(b[:min(len(b), 200)], []byte("Error")) {
		return d, false
	}
	err := ScanXML(b, func(parent, name, text []byte) error {
		if string(parent) != "Error" {
			ok = ok || string(name) == "Error" && len(parent) == 0
			return nil
		}
		switch string(name) {
		case "Code":
			d.Code = UnescapeXML(text)
		case "Message":
			d.Message = UnescapeXML(text)
		case "Region":
			d.Region = UnescapeXML(text)
		case "RequestId":
			d.RequestID = UnescapeXML(text)
		}
		return nil
	})
	return d, ok && err == nil
}
