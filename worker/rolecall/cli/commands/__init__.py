"""What a person can type: one file for each verb; what stands behind them is in the folders."""
