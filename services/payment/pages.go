package payment

import (
	"basisdienste/platform/kit"
	"basisdienste/platform/run"
)

type pages struct{ s *Service }

func newPages(s *Service, h *run.Host) (*pages, error) { return &pages{s}, nil }
func (p *pages) routes(m *kit.Mux)                     {}
