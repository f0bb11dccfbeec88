package seal

import (
	"bytes"
	_ "embed"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// The record for a public list of certificates, with the JSON schema of it.
const (
	ListingFile       = "listing.json"
	ListingSchemaFile = "listing.schema.json"
	ListingSchemaID   = "plumbline.listing/v1"
)

//go:embed listing.schema.json
var listingSchema []byte

// ListingSchema returns the JSON schema (draft 2020-12) of listing.json. The
// caller owns the copy.
func ListingSchema() []byte { return bytes.Clone(listingSchema) }

// Listing is the line of one certificate in a public list: what was certified,
// by which profile, by whom and until when. It is no proof: the certificate is.
type Listing struct {
	Schema        string             `json:"schema"`
	Certificate   string             `json:"certificate"`
	Run           string             `json:"run"`
	Name          string             `json:"name"`
	Version       string             `json:"version"`
	Artifacts     []reports.Evidence `json:"artifacts"`
	Capabilities  []string           `json:"capabilities"`
	Profile       string             `json:"profile"`
	ProfileDigest string             `json:"profile_sha256"`
	Level         string             `json:"level"` // as in the certificate's verifiedLevels
	Totals        string             `json:"totals"`
	Devices       string             `json:"devices"`
	Laboratory    string             `json:"laboratory"` // "" when nobody vouches for the signer
	Signer        string             `json:"signer"`     // id of the key
	Issued        time.Time          `json:"issued"`
	NotAfter      time.Time          `json:"not_after"`
	Statement     string             `json:"statement"` // file of the certificate
	Page          string             `json:"page"`
	Badge         string             `json:"badge"`
	Accreditation string             `json:"accreditation"`
}

// NewListing returns the public record of a certificate.
func NewListing(c *reports.Certificate) Listing {
	l := Listing{
		Schema: ListingSchemaID, Certificate: c.ID, Run: c.Run, Name: c.SUT.Name, Version: c.SUT.Version, Artifacts: c.SUT.Artifacts,
		Capabilities: c.SUT.Capabilities, Profile: c.Profile.Name + " " + c.Profile.Version, ProfileDigest: c.Profile.Digest,
		Level: level(c.Profile), Totals: c.Totals, Devices: c.Devices, Laboratory: c.Laboratory.Name, Signer: c.Signer,
		Issued: c.Issued, NotAfter: c.NotAfter, Statement: CertificateFile, Page: render.CertificateFile, Badge: render.BadgeFile,
		Accreditation: reports.NotAccredited,
	}
	if l.Artifacts == nil {
		l.Artifacts = []reports.Evidence{}
	}
	if l.Capabilities == nil {
		l.Capabilities = []string{}
	}
	return l
}

func encodeListing(c *reports.Certificate) ([]byte, error) { return encodeJSON(NewListing(c)) }
