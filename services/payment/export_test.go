package payment

// PageTexts are the texts of the payer's pages, for the test that looks for missing ones.
var PageTexts = texts
