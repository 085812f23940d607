package treasury

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"os"

	"basisdienste/services/payment/camt"
)

// spool keeps the movements of a file while it is read, in a file of its own, so that they can be
// stored once it is known to be right without reading it again.
type spool struct {
	file *os.File
	w    *bufio.Writer
	enc  *gob.Encoder
	at   int   // the statement that is read
	n    int64 // of its movements so far
}

// spooled is a movement and the place of its statement in the file.
type spooled struct {
	Statement int
	Entry     entry
}

// spool makes an empty one, which has to be closed.
func (s *service) spool() (*spool, error) {
	file, err := s.nameless()
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(file, 64<<10)
	return &spool{file: file, w: w, enc: gob.NewEncoder(w)}, nil
}

func (p *spool) put(of *camt.Statement, m *camt.Move) error {
	if of.Index != p.at {
		p.at, p.n = of.Index, 0
	}
	p.n++
	return p.enc.Encode(spooled{of.Index, entryOf(p.n, m)})
}

// rewind ends writing.
func (p *spool) rewind() error {
	if err := p.w.Flush(); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// each reads what was put, in order.
func (p *spool) each(fn func(*spooled) error) error {
	dec := gob.NewDecoder(bufio.NewReaderSize(p.file, 64<<10))
	for {
		var m spooled
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = fn(&m)
		}
		if err != nil {
			return err
		}
	}
}

// Close ends the file.
func (p *spool) Close() error { return p.file.Close() }

func entryOf(n int64, m *camt.Move) entry {
	e := entry{
		N: n, Line: int64(m.Line), Entry: m.Entry, Part: m.Part, Amount: m.Amount, Credit: m.Credit, BookedOn: m.BookedOn, ValueOn: m.ValueOn,
		EndToEnd: m.EndToEnd, Creditor: m.Creditor, Reference: m.Reference, Text: m.Text, Outcome: open,
	}
	switch {
	case !m.Booked:
		e.Outcome = pending
	case !m.Credit:
		e.Outcome = debit
	case m.Reversal:
		e.Outcome = reversal
	}
	if e.Outcome != open {
		e.Text = "" // nobody has to find a claim for it
	}
	return e
}
