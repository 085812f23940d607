package booking

// PageTexts is for the test that looks for missing texts.
var PageTexts = texts
