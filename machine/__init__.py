"""What the programs of one machine share: the state folder, secrets, Java, ports, processes, locks and HTTP.

It imports no other package of the project. All of it but `processes` needs the standard library only, because
`make setup` runs under the bare Python of the machine.
"""
