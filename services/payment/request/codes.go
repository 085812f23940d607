package request

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode/qr"

	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/services/payment"
	"basisdienste/services/payment/transfer"
)

// code is a QR code for a letter: black on white, with its quiet zone.
type code struct {
	title   string // what people are told who do not see it
	modules [][]bool
}

const quiet = 4 // modules, ISO/IEC 18004

func newCode(title, text string) (code, error) {
	drawn, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return code{}, fmt.Errorf("draw QR code: %w", err)
	}
	c := code{title, make([][]bool, drawn.Bounds().Dy())}
	for y := range c.modules {
		c.modules[y] = make([]bool, drawn.Bounds().Dx())
		for x := range c.modules[y] {
			r, _, _, _ := drawn.At(x, y).RGBA()
			c.modules[y][x] = r == 0
		}
	}
	return c, nil
}

// svg draws it as a document of its own, with a title that is read out instead.
func (c code) svg() kit.Raw {
	side := len(c.modules) + 2*quiet
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title" width="%[1]dmm" height="%[1]dmm" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges">`+
		`<title id="title">%[2]s</title><path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path fill="#000" d="`, side, template.HTMLEscapeString(c.title))
	for y, row := range c.modules {
		for x, black := range row {
			if black {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return kit.Raw{Type: "image/svg+xml", Body: []byte(b.String())}
}

// png draws it with 8 pixels a module: 300 dpi at two thirds of a millimetre.
func (c code) png() (kit.Raw, error) {
	const scale = 8
	side := (len(c.modules) + 2*quiet) * scale
	picture := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			if row, column := y/scale-quiet, x/scale-quiet; row >= 0 && row < len(c.modules) && column >= 0 && column < len(c.modules) && c.modules[row][column] {
				picture.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return kit.Raw{}, fmt.Errorf("write PNG: %w", err)
	}
	return kit.Raw{Type: "image/png", Body: b.Bytes()}, nil
}

// payable returns a transaction that can be paid. Errors: unknown_transaction, transaction_final.
func (s *Service) payable(ctx context.Context, q payment.GetRequest) (payment.Transaction, error) {
	t, err := s.payments.Get(ctx, q.ID)
	if err == nil && t.Final() {
		err = fault.Conflict("transaction_final", "the transaction has ended; nobody can pay it any more")
	}
	return t, err
}

func (s *Service) linkCode(ctx context.Context, q payment.GetRequest) (code, error) {
	t, err := s.payable(ctx, q)
	if err != nil {
		return code{}, err
	}
	return newCode("QR-Code: online bezahlen, Kassenzeichen "+t.Kassenzeichen, s.payments.PayURL(ctx, t.ID))
}

func (s *Service) giroCode(ctx context.Context, q payment.GetRequest) (code, error) {
	t, err := s.payable(ctx, q)
	if err != nil {
		return code{}, err
	}
	p, err := transfer.Of(ctx, &t)
	if err != nil {
		return code{}, err
	}
	text, err := p.Payload()
	if err != nil {
		return code{}, err
	}
	return newCode("GiroCode: "+t.Amount.German()+" an "+p.Holder+" überweisen, Verwendungszweck "+t.Kassenzeichen, text)
}

func (s *Service) linkSVG(ctx context.Context, q payment.GetRequest) (kit.Raw, error) {
	return drawn(s.linkCode(ctx, q))
}

func (s *Service) linkPNG(ctx context.Context, q payment.GetRequest) (kit.Raw, error) {
	return pixels(s.linkCode(ctx, q))
}

func (s *Service) giroSVG(ctx context.Context, q payment.GetRequest) (kit.Raw, error) {
	return drawn(s.giroCode(ctx, q))
}

func (s *Service) giroPNG(ctx context.Context, q payment.GetRequest) (kit.Raw, error) {
	return pixels(s.giroCode(ctx, q))
}

func drawn(c code, err error) (kit.Raw, error) {
	if err != nil {
		return kit.Raw{}, err
	}
	return c.svg(), nil
}

func pixels(c code, err error) (kit.Raw, error) {
	if err != nil {
		return kit.Raw{}, err
	}
	return c.png()
}
