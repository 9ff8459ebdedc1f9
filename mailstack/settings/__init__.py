"""The settings of a stack: shape (``model``), rules between fields (``rules``), reading (``load``)."""
