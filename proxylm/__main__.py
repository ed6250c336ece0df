"""`python -m proxylm` and `torchrun -m proxylm`: the command `proxyc`."""

from proxylm.cli.main import main

if __name__ == "__main__":
    main()
