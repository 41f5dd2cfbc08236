package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/api/types/image"
)

type imageSummary = image.Summary

// loaded reads the engine's answer to a load: the status of the response came before the
// image was read, so an error is in the stream.
func loaded(r io.Reader) error {
	for d := json.NewDecoder(r); ; {
		var line struct {
			Error string `json:"error"`
		}
		switch err := d.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("cannot read the engine's answer: %w", err)
		case line.Error != "":
			return fmt.Errorf("the engine does not take the image: %s", line.Error)
		}
	}
}
