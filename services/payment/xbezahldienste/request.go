package xbezahldienste

// PaymentRequest is the body of a POST. Pointers are optional; the schema's limits are in
// validate.go.
type PaymentRequest struct {
	RequestID        string        `json:"requestId"`
	RequestTimestamp string        `json:"requestTimestamp"`
	Currency         string        `json:"currency"`
	GrossAmount      Decimal       `json:"grossAmount"`
	GrosAmount       Decimal       `json:"grosAmount"` // its name in 1.0.0
	Purpose          *string       `json:"purpose"`
	Description      *string       `json:"description"`
	RedirectURL      string        `json:"redirectUrl"`
	Items            []PaymentItem `json:"items"`
	Requestor        *Requestor    `json:"requestor"`
}

// PaymentItem is one position.
type PaymentItem struct {
	ID              string            `json:"id"`
	Reference       string            `json:"reference"`
	Description     *string           `json:"description"`
	TaxRate         Decimal           `json:"taxRate"`
	Quantity        Decimal           `json:"quantity"`
	TotalNetAmount  Decimal           `json:"totalNetAmount"`
	TotalTaxAmount  Decimal           `json:"totalTaxAmount"`
	SingleNetAmount Decimal           `json:"singleNetAmount"`
	SingleTaxAmount Decimal           `json:"singleTaxAmount"`
	BookingData     map[string]string `json:"bookingData"`
}

// Requestor is any of the three shapes: with requestorType that of 1.2.0, INDIVIDUAL or
// ORGANIZATION, without it the legacy one of 1.1.0.
type Requestor struct {
	RequestorType    *string  `json:"requestorType"`
	Name             *string  `json:"name"`
	FirstName        *string  `json:"firstName"`
	Gender           *string  `json:"gender"`
	IsOrganization   *bool    `json:"isOrganization"`
	OrganizationName *string  `json:"organizationName"`
	Address          *Address `json:"address"`
}

// Address is either shape: postal with addressType, or legacy.
type Address struct {
	AddressType        *string  `json:"addressType"`
	AddressLine1       *string  `json:"addressLine1"`
	AddressLine2       *string  `json:"addressLine2"`
	AddressLine3       *string  `json:"addressLine3"`
	CountrySubdivision *string  `json:"countrySubdivision"`
	CountryCode        *string  `json:"countryCode"`
	PostalCode         *string  `json:"postalCode"`
	City               *string  `json:"city"`
	Street             *string  `json:"street"`
	HouseNumber        *string  `json:"houseNumber"`
	AddressLine        []string `json:"addressLine"`
	Country            *string  `json:"country"`
}
