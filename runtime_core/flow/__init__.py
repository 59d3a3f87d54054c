"""The flow language: documents, expressions, plans and the execution of one item. Pure, without a clock or a wire."""
