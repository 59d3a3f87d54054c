"""What component servers may ask of the gateway: runs/*, blobs/*, and the older flows/*. Handlers call `RuntimeApi` only."""
