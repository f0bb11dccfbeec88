package render

import (
	"bytes"
	"embed"
	"html/template"
	"io"
	"reflect"

	"plumbline/reports"
)

// CertificateFile is the page of a certificate in the directory of its run.
const CertificateFile = "certificate.html"

//go:embed certificate/*.tmpl certificate/style.css
var certificateFiles embed.FS

// Certificate writes the certificate as one page for people: no network, no
// script, light and dark, two sheets in print. That there is a Certificate at
// all says that the run was certified; the proof is the signed statement, which
// the page names.
func Certificate(w io.Writer, c *reports.Certificate) error {
	style, err := certificateFiles.ReadFile("certificate/style.css")
	if err != nil {
		return wrap("certificate", err)
	}
	page, err := template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(style) }, //nolint:gosec // our own file
		"date":  date, "class": verdictClass, "capital": capital,
	}).ParseFS(certificateFiles, "certificate/*.tmpl")
	if err != nil {
		return wrap("certificate", err)
	}
	shown := cleanValue(reflect.ValueOf(c)).Interface().(*reports.Certificate)
	var buf bytes.Buffer // so that an error leaves no half page behind
	if err := page.ExecuteTemplate(&buf, "certificate.html.tmpl", shown); err != nil {
		return wrap("certificate", err)
	}
	_, err = w.Write(buf.Bytes())
	return wrap("certificate", err)
}
