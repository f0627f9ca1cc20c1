"""What the programs of one machine share: Java, ports, processes, and the state folder."""
